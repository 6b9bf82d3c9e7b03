/**
 * Writes compressed clusters, one behind the other: several have parts of one cluster of the file, which is referred to by each. Their
 * bytes are in the file before an L2 table in memory names them.
 */
import { unsupported } from '../image-errors.js';
import { Serial } from '../serial.js';
import type { ByteStore } from '../storage-file.js';
import { roundDown, roundUp } from './bytes.js';
import type { CompressedClusters } from './compressed.js';
import type { Writer, WriterParts } from './writer.js';

/** One cluster of the disk, compressed. */
export interface Packed {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** Packed clusters that are neighbours in the file, too. */
interface Stretch {
  readonly host: number;
  readonly bytes: Uint8Array[];
}

/** Of the file, what is taken at once. */
const RUN_BYTES = 256 * 1024;
const SECTOR_BYTES = 512;

export class Packer {
  readonly #serial = new Serial();
  /** The next byte that is free, and where what was allocated ends. */
  #at = 0;
  #end = 0;

  constructor(
    private readonly file: ByteStore,
    private readonly writer: Writer,
    private readonly parts: WriterParts,
    private readonly compressed: CompressedClusters,
  ) {}

  /** @throws XennerError EIMAGE_UNSUPPORTED: the image can have no compressed clusters */
  async write(clusters: readonly Packed[]): Promise<void> {
    const { hasDataFile, cipher } = this.parts;
    if (hasDataFile || cipher !== undefined)
      throw unsupported(
        this.file.path,
        'is encrypted or has its data in another file, and cannot be compressed',
      );
    await this.writer.throttle();
    const placed: { readonly packed: Packed; readonly host: number }[] = [];
    const stretches = await this.#serial.run(async () => {
      const found: Stretch[] = [];
      for (const packed of clusters) {
        const host = await this.#place(packed.bytes.length);
        placed.push({ packed, host });
        const last = found[found.length - 1];
        if (last && endOf(last) === host) last.bytes.push(packed.bytes);
        else found.push({ host, bytes: [packed.bytes] });
      }
      return found;
    });
    await Promise.all(stretches.map(({ host, bytes }) => this.file.write(host, bytes)));
    for (const { packed, host } of placed) await this.#link(packed, host);
  }

  /** What was allocated and is not needed is free again, and the file ends with a whole sector. */
  finish(): Promise<void> {
    return this.#serial.run(async () => {
      if (this.#end === 0) return;
      const end = roundUp(this.#at, SECTOR_BYTES);
      if (!this.file.isDevice && this.file.sizeBytes < end) await this.file.truncate(end);
      await this.#giveBackRest();
    });
  }

  /** Where so many bytes go; each cluster that they touch is used once more. */
  async #place(bytes: number): Promise<number> {
    const { clusterBytes } = this.parts.map.geometry;
    for (;;) {
      const inCluster = this.#at % clusterBytes;
      if (inCluster > 0 && this.#at + bytes <= this.#end) {
        if (await this.parts.allocator.share((this.#at - inCluster) / clusterBytes)) break;
        this.#at += clusterBytes - inCluster;
      } else if (this.#at + bytes <= this.#end) {
        break;
      } else {
        await this.#allocate();
      }
    }
    const host = this.#at;
    this.#at += bytes;
    return host;
  }

  /** More room, behind what there is if it can be. */
  async #allocate(): Promise<void> {
    const { allocator, map } = this.parts;
    const { clusterBytes } = map.geometry;
    const run = await allocator.allocate(Math.max(1, RUN_BYTES / clusterBytes));
    if (run.first * clusterBytes !== this.#end) {
      await this.#giveBackRest();
      this.#at = run.first * clusterBytes;
    }
    this.#end = (run.first + run.count) * clusterBytes;
  }

  async #giveBackRest(): Promise<void> {
    const { clusterBytes } = this.parts.map.geometry;
    const first = roundUp(this.#at, clusterBytes) / clusterBytes;
    const count = this.#end / clusterBytes - first;
    this.#at = 0;
    this.#end = 0;
    if (count > 0) await this.parts.allocator.giveBack({ first, count });
  }

  async #link({ at, bytes }: Packed, host: number): Promise<void> {
    const { tables, entries, map } = this.parts;
    const { clusterBytes, l2SpanBytes } = map.geometry;
    this.compressed.forget(host);
    await this.writer.locked(roundDown(at, clusterBytes), clusterBytes, () =>
      tables.change(Math.floor(at / l2SpanBytes), (table) => {
        entries.linkCompressed(table, entries.entryOf(at), host, bytes.length);
      }),
    );
  }
}

const endOf = ({ host, bytes }: Stretch) => bytes.reduce((end, { length }) => end + length, host);
