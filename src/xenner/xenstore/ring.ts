/** A guest's way to the store: struct xenstore_domain_interface (public/io/xs_wire.h) in a page of its memory. */
import { type Gpa, type GuestMemory, gpa } from '../../kvm/index.js';
import {
  XENSTORE_CONNECTED,
  XENSTORE_ERROR_NONE,
  XENSTORE_ERROR_PROTO,
  XENSTORE_ERROR_RINGIDX,
  XENSTORE_RECONNECT,
  XENSTORE_RING_SIZE,
  XENSTORE_SERVER_FEATURE_ERROR,
  XENSTORE_SERVER_FEATURE_RECONNECTION,
  xenstore_domain_interface,
} from '../abi/xs-wire.js';
import type { Json, Saved } from '../save/saved.js';
import { Connection } from './connection.js';
import type { Xenstore } from './store.js';
import { ProtocolError } from './wire.js';

const at = (member: string) => xenstore_domain_interface.offsetof(member);
const FEATURES = XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR;

/** One of the two directions: where its bytes and indices are. */
interface Direction {
  readonly data: number;
  readonly cons: number;
  readonly prod: number;
}
const REQ: Direction = { data: at('req'), cons: at('req_cons'), prod: at('req_prod') };
const RSP: Direction = { data: at('rsp'), cons: at('rsp_cons'), prod: at('rsp_prod') };

export interface RingOptions {
  readonly domid: number;
  readonly memory: GuestMemory;
  /** Of the page. */
  readonly ring: Gpa;
  /** Tells the guest that the ring changed. */
  raise(): void;
  /** What save() gave; the page is as it was then. Without it the page is zeros, but for what the guest asked already. */
  readonly saved?: Saved;
}

/** The indices are not possible: the ring cannot be used before it is begun anew. */
class RingIndexError extends Error {}

export class XenstoreRing {
  readonly #connection: Connection;
  #state: 'open' | 'broken' | 'closed' = 'open';
  #frozen = false;
  /** service() is under way: it sends what comes of it. */
  #busy = false;
  #scheduled: NodeJS.Immediate | undefined;

  /**
   * Introduces the domain.
   * @throws XenstoreError EEXIST when it was; XennerError ESAVE_DAMAGED
   */
  constructor(
    private readonly store: Xenstore,
    private readonly options: RingOptions,
  ) {
    // A guest that does not read its events loses them, as with xenstored.
    this.#connection = new Connection(store, options.domid, {
      ready: () => this.#ready(),
      overflow: () => undefined,
    });
    try {
      if (options.saved === undefined) this.#offer();
      else this.#restore(options.saved);
      store.introduce({
        client: this.#connection.client,
        reset: () => this.#reset(),
        close: () => this.#close(),
      });
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  /**
   * The guest notified: does what it asks for, and gives it what waits. It may ask for more all the while, so what is beyond the answers
   * that may be outstanding comes later.
   */
  service(): void {
    if (this.#state === 'closed' || this.#frozen) return;
    if (this.#word(at('connection')) === XENSTORE_RECONNECT) this.#reset();
    if (this.#state === 'broken') return;
    this.#busy = true;
    try {
      const given = this.#give();
      const taken = this.#take();
      if (this.#give() || given || taken) this.options.raise();
      if (this.#connection.listening && this.#used(REQ) > 0) this.#later();
    } catch (error) {
      this.#broke(error);
    } finally {
      this.#busy = false;
    }
  }

  /** The guest is being saved: its page stays as it is until thaw(). */
  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    this.service();
  }

  save(): Json {
    return { broken: this.#state === 'broken', connection: this.#connection.save() };
  }

  /** The domain is gone, and what it owned with it. Idempotent. */
  close(): void {
    if (this.#state !== 'closed') this.store.release(this.options.domid);
  }

  #ready(): void {
    if (this.#state !== 'open' || this.#frozen || this.#busy) return;
    try {
      if (this.#give()) this.options.raise();
    } catch (error) {
      this.#broke(error);
    }
  }

  /** Requests, until the guest has no more or ought to read answers first. */
  #take(): boolean {
    let taken = false;
    while (this.#connection.listening) {
      const consumer = this.#word(REQ.cons);
      const start = consumer % XENSTORE_RING_SIZE;
      const contiguous = XENSTORE_RING_SIZE - start;
      const count = Math.min(this.#used(REQ), contiguous, this.#connection.wanted);
      if (count === 0) break;
      const bytes = this.options.memory.copyOut(this.#gpa(REQ.data + start), count);
      this.#setWord(REQ.cons, consumer + count);
      taken = true;
      this.#connection.feed(bytes);
    }
    return taken;
  }

  /** Answers and events, as many as there is room for. */
  #give(): boolean {
    for (let given = false; ; given = true) {
      const room = XENSTORE_RING_SIZE - this.#used(RSP);
      const producer = this.#word(RSP.prod);
      const start = producer % XENSTORE_RING_SIZE;
      const bytes = this.#connection.take(Math.min(room, XENSTORE_RING_SIZE - start));
      if (bytes.length === 0) return given;
      this.options.memory.copyIn(this.#gpa(RSP.data + start), bytes);
      this.#setWord(RSP.prod, producer + bytes.length);
    }
  }

  /** @throws RingIndexError, where xenstored's check_indexes() fails */
  #used({ cons, prod }: Direction): number {
    const used = (this.#word(prod) - this.#word(cons)) >>> 0;
    if (used > XENSTORE_RING_SIZE) throw new RingIndexError();
    return used;
  }

  #later(): void {
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      this.service();
    });
  }

  /** The guest is told why, and ignored until it reconnects: ignore_connection() of xenstored. */
  #broke(error: unknown): void {
    const protocol = error instanceof ProtocolError;
    if (!protocol && !(error instanceof RingIndexError)) throw error;
    this.#state = 'broken';
    this.#connection.reset();
    this.#setWord(at('error'), protocol ? XENSTORE_ERROR_PROTO : XENSTORE_ERROR_RINGIDX);
    this.options.raise();
  }

  #reset(): void {
    this.#connection.reset();
    this.#begin();
    this.options.raise();
  }

  #begin(): void {
    this.#state = 'open';
    for (const { cons, prod } of [REQ, RSP]) {
      this.#setWord(cons, 0);
      this.#setWord(prod, 0);
    }
    this.#offer();
  }

  #offer(): void {
    this.#setWord(at('server_features'), FEATURES);
    this.#setWord(at('error'), XENSTORE_ERROR_NONE);
    this.#setWord(at('connection'), XENSTORE_CONNECTED);
  }

  #restore(saved: Saved): void {
    if (saved.get('broken').bool()) this.#state = 'broken';
    this.#connection.restore(saved.get('connection'));
  }

  #close(): void {
    this.#state = 'closed';
    clearImmediate(this.#scheduled);
    this.#connection.close();
  }

  #gpa(offset: number): Gpa {
    return gpa(this.options.ring + offset);
  }

  #word(offset: number): number {
    return this.options.memory.atomicLoad32(this.#gpa(offset));
  }

  #setWord(offset: number, value: number): void {
    this.options.memory.atomicStore32(this.#gpa(offset), value >>> 0);
  }
}
