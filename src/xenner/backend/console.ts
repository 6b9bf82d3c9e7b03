/** The other end of a PV console: struct xencons_interface (public/io/console.h) in a page of the guest's. */
import { type Gpa, type GuestMemory, gpa } from '../../kvm/index.js';
import { xencons_interface } from '../abi/console.js';

const IN = xencons_interface.offsetof('in');
const OUT = xencons_interface.offsetof('out');
const IN_CONS = xencons_interface.offsetof('in_cons');
const IN_PROD = xencons_interface.offsetof('in_prod');
const OUT_CONS = xencons_interface.offsetof('out_cons');
const OUT_PROD = xencons_interface.offsetof('out_prod');
const IN_SIZE = OUT - IN;
const OUT_SIZE = IN_CONS - OUT;
/** Waiting for the guest to read; a writer that is told `false` should pause. */
const INPUT_HIGH_WATER = 64 * 1024;

export interface ConsoleSink {
  /** Takes output. False: take no more from the guest until resume(). */
  write(chunk: Buffer): boolean;
  /** The guest has read what input() had refused to take more of. */
  inputDrained(): void;
}

export class ConsoleBackend {
  #input: Buffer = Buffer.alloc(0);
  #paused = false;
  #frozen = false;

  /** @param raise tells the guest that the ring changed */
  constructor(
    private readonly memory: GuestMemory,
    private readonly ring: Gpa,
    private readonly sink: ConsoleSink,
    private readonly raise: () => void,
  ) {}

  /**
   * The guest is being saved: the ring stays as it is until thaw().
   * @returns what was typed and is not in the ring yet
   */
  freeze(): Uint8Array {
    this.#frozen = true;
    return this.#input;
  }

  thaw(): void {
    this.#frozen = false;
    this.service();
  }

  /** The guest notified: takes what it wrote and gives what was typed. */
  service(): void {
    const wrote = this.#takeOutput();
    const read = this.#giveInput();
    if (wrote || read) this.raise();
  }

  /** Bytes for the guest; all are taken. False: send no more until the sink's inputDrained(). */
  input(data: Buffer): boolean {
    this.#input = Buffer.concat([this.#input, data]);
    if (this.#giveInput()) this.raise();
    return this.#input.length < INPUT_HIGH_WATER;
  }

  /** The sink has room again. */
  resume(): void {
    this.#paused = false;
    this.service();
  }

  /** Everything that is left, whatever the sink says: the guest is gone. */
  flush(): void {
    this.#paused = false;
    this.#takeOutput();
  }

  #index(offset: number): number {
    return this.memory.atomicLoad32(gpa(this.ring + offset));
  }

  #takeOutput(): boolean {
    if (this.#paused || this.#frozen) return false;
    const consumer = this.#index(OUT_CONS);
    const producer = this.#index(OUT_PROD);
    const used = (producer - consumer) >>> 0;
    if (used === 0) return false;
    // A producer beyond the ring is the guest's mistake: what it overwrote is lost, the rest goes on.
    const count = Math.min(used, OUT_SIZE);
    const start = (producer - count) >>> 0;
    const chunk = Buffer.alloc(count);
    for (let i = 0; i < count; ) {
      const at = (start + i) % OUT_SIZE;
      const piece = Math.min(count - i, OUT_SIZE - at);
      chunk.set(this.memory.copyOut(gpa(this.ring + OUT + at), piece), i);
      i += piece;
    }
    this.memory.atomicStore32(gpa(this.ring + OUT_CONS), producer);
    this.#paused = !this.sink.write(chunk);
    return true;
  }

  #giveInput(): boolean {
    if (this.#input.length === 0 || this.#frozen) return false;
    const producer = this.#index(IN_PROD);
    const used = (producer - this.#index(IN_CONS)) >>> 0;
    const count = Math.min(this.#input.length, Math.max(0, IN_SIZE - used));
    if (count === 0) return false;
    for (let i = 0; i < count; ) {
      const at = ((producer + i) >>> 0) % IN_SIZE;
      const piece = Math.min(count - i, IN_SIZE - at);
      this.memory.copyIn(gpa(this.ring + IN + at), this.#input.subarray(i, i + piece));
      i += piece;
    }
    const before = this.#input.length;
    this.#input = this.#input.subarray(count);
    this.memory.atomicStore32(gpa(this.ring + IN_PROD), (producer + count) >>> 0);
    if (before >= INPUT_HIGH_WATER && this.#input.length < INPUT_HIGH_WATER) this.sink.inputDrained();
    return true;
  }
}
