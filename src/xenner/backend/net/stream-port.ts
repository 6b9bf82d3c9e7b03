/**
 * A port on a stream, as QEMU's `-netdev stream` speaks it: each frame behind its length, 4 bytes big-endian. There are no offloads:
 * the back end finishes what a guest leaves unfinished.
 */
import type { Duplex } from 'node:stream';
import { XennerError } from '../../../base/errors.js';
import { ETH_HLEN } from './headers.js';
import { mergeSegments } from './merge.js';
import { type NetPort, type NetReceiver, NO_OFFLOADS, type Packet } from './net-port.js';

/** Of one frame: an IP packet of 64 KiB, Ethernet's header and two VLANs. */
const MAX_FRAME_BYTES = 65_535 + ETH_HLEN + 8;
const LENGTH_BYTES = 4;

export class StreamPort implements NetPort {
  readonly offloads = NO_OFFLOADS;
  readonly #stream: Duplex;
  #receiver: NetReceiver | undefined;
  /** The beginning of a frame. */
  #rest: Buffer = Buffer.alloc(0);
  /** Brought, and not taken yet. */
  #kept: readonly Packet[] = [];
  #isCorked = false;
  #failure: Error | undefined;

  /**
   * The stream is the port's own from now on.
   * @param isLocal who is at its other end makes frames by itself: their checksums need no check
   */
  constructor(
    readonly name: string,
    stream: Duplex,
    private readonly isLocal = false,
  ) {
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => this.#take(chunk));
    stream.on('drain', () => this.#receiver?.drained());
    stream.on('error', (error) => this.ended(error));
    stream.on('close', () => this.ended(new XennerError('ESTREAM', 'the other end has closed')));
  }

  attach(receiver: NetReceiver): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.#receiver = receiver;
  }

  detach(): void {
    this.#receiver = undefined;
    this.#kept = [];
    // What comes now is lost, as on a cable that ends nowhere.
    this.#stream.resume();
  }

  resume(): void {
    this.#deliver([]);
  }

  send({ pieces, length }: Packet): boolean {
    if (this.#failure !== undefined) return true;
    const bytes = Buffer.allocUnsafe(LENGTH_BYTES + length);
    bytes.writeUInt32BE(length);
    let at = LENGTH_BYTES;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    this.#cork();
    return this.#stream.write(bytes);
  }

  async close(): Promise<void> {
    this.#receiver = undefined;
    this.#failure ??= new XennerError('ESTREAM', `${this.name} is closed`);
    this.#stream.destroy();
  }

  /** The stream has come to its end. */
  protected ended(error: Error): void {
    this.fail(error);
  }

  /** The port's end, the first of which counts. */
  protected fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#stream.destroy();
    const receiver = this.#receiver;
    this.#receiver = undefined;
    receiver?.failed(error);
  }

  /** Frames of one turn of the event loop are one system call. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#stream.cork();
    process.nextTick(() => {
      this.#isCorked = false;
      this.#stream.uncork();
    });
  }

  #take(chunk: Buffer): void {
    const packets: Packet[] = [];
    let at = 0;
    // The frame that has begun gets what it lacks, its length first. All others are taken where they lie.
    while (this.#rest.length > 0 && at < chunk.length) {
      const known = this.#rest.length >= LENGTH_BYTES;
      const wanted = LENGTH_BYTES + (known ? this.#rest.readUInt32BE() : 0);
      const more = chunk.subarray(at, at + wanted - this.#rest.length);
      at += more.length;
      const bytes = Buffer.concat([this.#rest, more]);
      this.#rest = bytes.subarray(this.#frames(bytes, packets));
    }
    const others = chunk.subarray(at);
    if (others.length > 0) this.#rest = Buffer.from(others.subarray(this.#frames(others, packets)));
    if (this.#failure === undefined) this.#deliver(packets);
  }

  /** The frames at the beginning of `bytes`. @returns where the first one is that is not all there */
  #frames(bytes: Buffer, into: Packet[]): number {
    let at = 0;
    while (bytes.length - at >= LENGTH_BYTES) {
      const length = bytes.readUInt32BE(at);
      if (length > MAX_FRAME_BYTES) {
        this.fail(new XennerError('ESTREAM', `a frame of ${length} bytes: this is no network`));
        return bytes.length;
      }
      const end = at + LENGTH_BYTES + length;
      if (end > bytes.length) break;
      const frame = bytes.subarray(at + LENGTH_BYTES, end);
      if (length >= ETH_HLEN)
        into.push({ pieces: [frame], length, unfinished: undefined, isValidated: this.isLocal });
      at = end;
    }
    return at;
  }

  #deliver(packets: readonly Packet[]): void {
    if (this.#receiver === undefined) return;
    const fresh = mergeSegments(packets, this.#receiver.offloads);
    const all = this.#kept.length > 0 ? [...this.#kept, ...fresh] : fresh;
    const taken = this.#receiver.receive(all);
    this.#kept = this.#receiver === undefined ? [] : all.slice(taken);
    if (this.#kept.length > 0) this.#stream.pause();
    else this.#stream.resume();
  }
}
