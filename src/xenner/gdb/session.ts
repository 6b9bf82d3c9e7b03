/** One client of the debugger, from its first byte to its last: which packet is answered when. */
import { MAX_GDB_QUEUED_PACKETS } from '../../base/limits.js';
import { type ClientState, execute, type Outcome, stopReply, type Target } from './commands.js';
import { SIGNAL, type Stop } from './messages.js';
import { encodePacket, PacketReader, ProtocolError } from './packet.js';

/** What a session does to the connection and to the domain. */
export interface SessionHost {
  send(bytes: Buffer): void;
  /** Resolves when the client has taken enough of that to be sent more. */
  drained(): Promise<void>;
  /** Nothing comes from the session any more. */
  close(): void;
  kill(): void;
}

export class Session {
  readonly #reader = new PacketReader();
  readonly #queue: (Buffer | 'interrupt')[] = [];
  readonly #state: ClientState = {
    vcpu: 0,
    resumed: undefined,
    breaks: false,
    lastStop: { vcpu: 0, signal: SIGNAL.TRAP },
  };
  #attached = false;
  /** Commands wait until the guest stands still. */
  #running = true;
  /** The client waits to be told how the guest stopped. */
  #owesStop = false;
  #interrupting = false;
  #noAck = false;
  #serving = false;
  #over = false;

  constructor(
    private readonly target: Target,
    private readonly host: SessionHost,
  ) {}

  /** Stops the guest. */
  begin(): void {
    void this.target.ask({ op: 'attach' }, () => {
      this.#attached = true;
    });
  }

  /** @throws ProtocolError: the connection is of no use any more */
  feed(chunk: Uint8Array): void {
    for (const input of this.#reader.feed(chunk)) {
      if (this.#over) return;
      if (input !== 'interrupt' && !this.#noAck) this.host.send(Buffer.from(input === 'damaged' ? '-' : '+'));
      if (input === 'damaged') continue;
      // As QEMU does it: whatever comes while the guest runs stops it.
      if (this.#running) this.#interrupt();
      if (input === 'interrupt' && this.#running && this.#queue.length === 0) continue;
      if (this.#queue.length === MAX_GDB_QUEUED_PACKETS) throw new ProtocolError('it waits for no answers');
      this.#queue.push(input);
    }
    void this.#serve();
  }

  stopped(stop: Stop): void {
    // Before it is attached: that was another client's.
    if (!this.#attached) return;
    this.#state.lastStop = stop;
    this.#state.vcpu = stop.vcpu;
    this.#running = false;
    this.#interrupting = false;
    if (this.#owesStop) this.host.send(encodePacket(stopReply(stop, this.#state.breaks)));
    this.#owesStop = false;
    void this.#serve();
  }

  /** The domain is no more. @param reply the stop reply that says how */
  ended(reply: string): void {
    if (this.#over) return;
    if (this.#owesStop) this.host.send(encodePacket(reply));
    this.#close();
  }

  /** The client has gone, or is to. */
  leave(): void {
    if (this.#over) return;
    this.#over = true;
    void this.target.ask({ op: 'detach' });
  }

  #interrupt(): void {
    if (this.#interrupting) return;
    this.#interrupting = true;
    void this.target.ask({ op: 'interrupt' });
  }

  async #serve(): Promise<void> {
    if (this.#serving) return;
    this.#serving = true;
    while (!this.#running && !this.#over) {
      const packet = this.#queue.shift();
      if (packet === undefined) break;
      // It has stopped what a packet before it made run, or came while the guest stood still.
      if (packet === 'interrupt') continue;
      await this.#act(await execute(this.target, this.#state, packet));
    }
    this.#serving = false;
  }

  async #act(outcome: Outcome): Promise<void> {
    if (this.#over) return;
    if ('resume' in outcome) {
      this.#running = true;
      this.#owesStop = true;
      const asked = this.target.ask({ op: 'resume', actions: outcome.resume });
      if (this.#queue.length > 0) this.#interrupt();
      await asked;
      return;
    }
    this.host.send(encodePacket(outcome.reply));
    await this.host.drained();
    if ('noAck' in outcome) this.#noAck = true;
    if (!('end' in outcome)) return;
    if (outcome.end === 'detach') this.leave();
    else this.host.kill();
    this.#close();
  }

  #close(): void {
    this.#over = true;
    this.host.close();
  }
}
