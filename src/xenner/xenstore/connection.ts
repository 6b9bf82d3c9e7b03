/**
 * A client that sends messages: bytes in, requests done, answers and events out. Transports pull the output when the other end
 * has room, and stop feeding while too many answers wait.
 */
import { XENSTORE_PAYLOAD_MAX, XS_ERROR, XS_WATCH_EVENT, xsd_sockmsg } from '../abi/xs-wire.js';
import type { Json, Saved } from '../save/saved.js';
import { Client, type EventSink } from './client.js';
import { XenstoreError } from './errors.js';
import { answer, requestName } from './requests.js';
import type { Xenstore } from './store.js';
import { encodeMessage, encodeStrings, type Message, MessageReader, ProtocolError } from './wire.js';

export interface ConnectionSink {
  /** There is output to take(). */
  ready(): void;
  /** An event was left out: the other end does not take what it is sent. */
  overflow(): void;
}

interface Output {
  bytes: Buffer;
  /** Of an event: what makes it the same as another. */
  readonly event: string | undefined;
}

/** Of one message in a trace. */
const MAX_TRACED_BYTES = 256;

const traced = (payload: Uint8Array) =>
  Buffer.from(payload.subarray(0, MAX_TRACED_BYTES)).toString('latin1').replaceAll('\0', ' ').trimEnd();

export class Connection implements EventSink {
  readonly client: Client;
  #reader = new MessageReader();
  #output: Output[] = [];
  #queuedBytes = 0;
  /** Events in the queue: one that waits is not queued again (send_event() of xenstored). */
  readonly #waiting = new Set<string>();
  #answers = 0;
  /** Events of the request that is being done: its answer goes first. */
  #held: [string, string][] | undefined;

  constructor(
    private readonly store: Xenstore,
    domid: number,
    private readonly sink: ConnectionSink,
  ) {
    this.client = new Client(store, domid, this);
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Whether it may be fed. */
  get listening(): boolean {
    return this.#answers < this.client.quota.outstanding;
  }

  /** Bytes that feed() takes next; never 0. */
  get wanted(): number {
    return this.#reader.wanted;
  }

  /** @param bytes at most `wanted`. @throws ProtocolError */
  feed(bytes: Uint8Array): void {
    const message = this.#reader.feed(bytes);
    if (message === undefined) return;
    this.#held = [];
    const answered = this.#answer(message);
    if (this.store.log.traces('xenstore')) this.#trace(message, answered);
    this.#send(answered);
    const held = this.#held;
    this.#held = undefined;
    for (const [path, token] of held) this.event(path, token);
    this.sink.ready();
  }

  event(path: string, token: string): void {
    if (this.#held !== undefined) {
      this.#held.push([path, token]);
      return;
    }
    const key = `${path}\0${token}\0`;
    // Domains come and go: that it happened twice is news.
    const again = this.#waiting.has(key) && !path.startsWith('@');
    if (again || key.length > XENSTORE_PAYLOAD_MAX) return;
    if (this.client.bytes + key.length > this.client.quota.bytes) {
      this.sink.overflow();
      return;
    }
    this.store.log.trace('xenstore', 'event', { domid: this.client.domid, path, token });
    const payload = Buffer.from(key, 'latin1');
    this.#send({ type: XS_WATCH_EVENT, reqId: 0, txId: 0, payload }, key);
    this.sink.ready();
  }

  /** Up to `room` bytes of output, which are its transport's from now on; none: an empty buffer. */
  take(room: number): Buffer {
    const taken: Buffer[] = [];
    let whole = 0;
    for (let left = room; left > 0 && whole < this.#output.length; ) {
      const first = this.#output[whole]!;
      const piece = first.bytes.subarray(0, left);
      taken.push(piece);
      left -= piece.length;
      this.#queuedBytes -= piece.length;
      first.bytes = first.bytes.subarray(piece.length);
      if (first.bytes.length > 0) break;
      this.#sent(first);
      whole++;
    }
    // At once: there may be many, and each removal moves what is behind.
    this.#output.splice(0, whole);
    return Buffer.concat(taken);
  }

  /** Forgets watches, transactions and all that was not said to its end. */
  reset(): void {
    this.client.reset();
    this.#reader = new MessageReader();
    this.#output = [];
    this.#queuedBytes = 0;
    this.#waiting.clear();
    this.#answers = 0;
  }

  close(): void {
    this.reset();
    this.client.close();
  }

  save(): Json {
    return {
      ...this.client.save(),
      input: this.#reader.partial.toString('base64'),
      output: Buffer.concat(this.#output.map(({ bytes }) => bytes)).toString('base64'),
    };
  }

  /** What save() gave, on a fresh connection. @throws XennerError ESAVE_DAMAGED */
  restore(saved: Saved): void {
    this.client.restore(saved);
    const { quota } = this.client;
    const answers = quota.outstanding * (xsd_sockmsg.size + XENSTORE_PAYLOAD_MAX);
    const bytes = Buffer.from(saved.get('output').bytes(quota.bytes + answers));
    // One piece, wherever its messages begin: nobody asks any more which they were.
    this.#output = bytes.length > 0 ? [{ bytes, event: '' }] : [];
    this.#queuedBytes = bytes.length;
    let input = Buffer.from(saved.get('input').bytes(2 * XENSTORE_PAYLOAD_MAX));
    while (input.length > 0) {
      const piece = input.subarray(0, this.wanted);
      input = input.subarray(piece.length);
      try {
        if (this.#reader.feed(piece) !== undefined) throw saved.wrong('a message that is not complete');
      } catch (error) {
        throw error instanceof ProtocolError ? saved.wrong('a connection') : error;
      }
    }
  }

  #answer(message: Message): Message {
    try {
      return { ...message, payload: answer(this.store, this.client, message) };
    } catch (error) {
      if (!(error instanceof XenstoreError)) throw error;
      return { ...message, type: XS_ERROR, payload: encodeStrings(error.code) };
    }
  }

  #trace({ type, txId, payload }: Message, answered: Message): void {
    const said = answered.type === XS_ERROR ? 'error' : 'answer';
    const fields = {
      domid: this.client.domid,
      txId,
      asked: traced(payload),
      [said]: traced(answered.payload),
    };
    this.store.log.trace('xenstore', requestName(type), fields);
  }

  #send(message: Message, event?: string): void {
    const bytes = encodeMessage(message);
    this.#output.push({ bytes, event });
    this.#queuedBytes += bytes.length;
    if (event === undefined) this.#answers++;
    else this.#waiting.add(event);
  }

  #sent({ event }: Output): void {
    if (event === undefined) this.#answers--;
    else this.#waiting.delete(event);
  }
}
