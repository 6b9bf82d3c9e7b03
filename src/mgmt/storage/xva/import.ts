/**
 * Disks out of an export of XenServer or XCP-ng (.xva), read once from its beginning to its end, into images.
 *
 * Such an archive has a folder for each disk, with pieces of 1 MiB in it: `Ref:4/00000007`, each followed by its checksum, `.checksum`
 * (SHA-1) or `.xxhash` (XXH64). A number that is left out is 1 MiB of zeros; the first and the last piece are always there. A piece
 * without any content has a number but no place on the disk: it kept a connection alive (xen-api: ocaml/xapi/stream_vdi.ml).
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import xxhash from 'xxhash-wasm';
import { XennerError } from '../../../base/errors.js';
import type { BlockImage } from '../../../xenner/backend/block/block-image.js';
import { type TarEntry, TarReader } from './tar.js';

const CHUNK_BYTES = 2 ** 20;
const SECTOR_BYTES = 512;
const MAX_CHECKSUM_BYTES = 64;
const PIECE = /^(.{1,64})\/(\d{8,12})$/s;
const CHECKSUM = /^(.*)\.(checksum|xxhash)$/s;
const GZIP = [0x1f, 0x8b];

export interface XvaDisk {
  /** As ova.xml calls it: `Ref:4`. */
  readonly member: string;
  /** Of the size that ova.xml says, in whole sectors; all of it is written. */
  readonly image: BlockImage;
}

/** Called after each piece. */
export type Progress = (member: string, doneBytes: number, sizeBytes: number) => void;

interface Piece {
  readonly name: string;
  readonly content: Buffer;
  readonly disk: Disk;
}

class Disk {
  private number = -1;
  private offset = 0;

  constructor(
    readonly member: string,
    private readonly image: BlockImage,
    private readonly progress: Progress,
  ) {}

  /** Before its content is read. */
  check(entry: TarEntry, number: number): void {
    const { sizeBytes } = entry;
    const skipped = (number - this.number - 1) * CHUNK_BYTES;
    const end = this.offset + skipped + sizeBytes;
    const isLast = end === this.image.sizeBytes;
    if (skipped < 0) throw wrong(entry.name, 'comes after a later one');
    if (sizeBytes > CHUNK_BYTES || (sizeBytes < CHUNK_BYTES && sizeBytes > 0 && !isLast)) {
      throw wrong(entry.name, `has ${sizeBytes} bytes`);
    }
    if (end > this.image.sizeBytes || sizeBytes % SECTOR_BYTES !== 0)
      throw wrong(entry.name, 'is not of this disk');
  }

  async put(number: number, content: Buffer): Promise<void> {
    const skipped = (number - this.number - 1) * CHUNK_BYTES;
    await this.zero(skipped);
    this.number = number;
    if (content.every((byte) => byte === 0)) await this.zero(content.length);
    else {
      await this.image.write(this.offset, [content]);
      this.offset += content.length;
    }
    this.progress(this.member, this.offset, this.image.sizeBytes);
  }

  private async zero(length: number): Promise<void> {
    if (length > 0) await this.image.writeZeroes(this.offset, length, { mayUnmap: true });
    this.offset += length;
  }

  async finish(): Promise<void> {
    if (this.offset < this.image.sizeBytes) {
      throw new XennerError(
        'EXVA_DAMAGED',
        `${this.member} ends after ${this.offset} bytes of ${this.image.sizeBytes}`,
      );
    }
    await this.image.flush();
  }
}

function wrong(name: string, what: string): XennerError {
  return new XennerError('EXVA_DAMAGED', `the archive is damaged: ${JSON.stringify(name)} ${what}`);
}

/**
 * Writes disks of an archive. Other disks in it are passed over.
 * @param source the archive's bytes, from wherever they come
 * @throws XennerError EXVA_DAMAGED, EXVA_CHECKSUM: nothing of a piece that is not as its checksum says is written; errors of the images
 */
export async function importXva(
  source: AsyncIterable<Uint8Array>,
  disks: readonly XvaDisk[],
  progress: Progress = () => {},
): Promise<void> {
  const { h64Raw } = await xxhash();
  const tar = new TarReader(source);
  try {
    await importDisks(tar, disks, progress, h64Raw);
  } finally {
    await tar.close();
  }
}

type Hash64 = (bytes: Uint8Array) => bigint;

async function importDisks(
  tar: TarReader,
  disks: readonly XvaDisk[],
  progress: Progress,
  h64Raw: Hash64,
): Promise<void> {
  const wanted = new Map(disks.map(({ member, image }) => [member, new Disk(member, image, progress)]));
  let piece: (Piece & { readonly number: number }) | undefined;
  for (let entry = await tar.next(); entry !== undefined; entry = await tar.next()) {
    if (!entry.isFile) continue;
    if (piece !== undefined) {
      await verify(tar, entry, piece, h64Raw);
      await piece.disk.put(piece.number, piece.content);
      piece = undefined;
      continue;
    }
    const [, member = '', digits = ''] = PIECE.exec(entry.name) ?? [];
    const disk = wanted.get(member);
    if (disk === undefined) continue;
    const number = Number(digits);
    disk.check(entry, number);
    piece = { name: entry.name, number, disk, content: await tar.content(entry) };
  }
  if (piece !== undefined) throw wrong(piece.name, 'has no checksum');
  for (const disk of wanted.values()) await disk.finish();
}

async function verify(
  tar: TarReader,
  entry: TarEntry,
  { name, content }: Piece,
  h64Raw: Hash64,
): Promise<void> {
  const [, of, kind] = CHECKSUM.exec(entry.name) ?? [];
  if (of !== name || entry.sizeBytes > MAX_CHECKSUM_BYTES) throw wrong(name, 'has no checksum');
  const said = (await tar.content(entry)).toString('latin1').trim().toLowerCase();
  const found =
    kind === 'checksum'
      ? createHash('sha1').update(content).digest('hex')
      : h64Raw(content).toString(16).padStart(16, '0');
  if (said === found) return;
  throw new XennerError('EXVA_CHECKSUM', `${name} is not as its checksum says`, 'export the guest again');
}

/** The bytes of an .xva file; XenServer may have compressed it by gzip. */
export async function* readXva(path: string): AsyncIterable<Uint8Array> {
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  try {
    const source = file[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    const { value: head, done } = await source.next();
    if (done) return;
    const all = (async function* () {
      yield head;
      for (let next = await source.next(); !next.done; next = await source.next()) yield next.value;
    })();
    if (GZIP.every((byte, i) => head[i] === byte)) yield* gunzip(all);
    else yield* all;
  } finally {
    file.destroy();
  }
}

async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const unpacker = createGunzip();
  const fed = pipeline(source, unpacker);
  // Its failure comes out of the loop below as well.
  fed.catch(() => {});
  try {
    yield* unpacker as AsyncIterable<Uint8Array>;
    await fed;
  } catch (cause) {
    const { message } = cause as Error;
    throw new XennerError('EXVA_DAMAGED', `the archive cannot be unpacked: ${message}`, undefined, { cause });
  }
}
