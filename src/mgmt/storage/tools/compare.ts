/** Whether two disks are the same for who reads them. */
import type { DiskImage } from '../disk-image.js';
import { type OpenImageOptions, openImage } from '../open-image.js';
import { type DiskExtentKind, diskExtents } from './disk-extents.js';
import { CHUNK_BYTES, chunks, eachWithBuffer } from './in-chunks.js';
import type { WorkOptions } from './work.js';
import { isZero } from './zero-scan.js';

const SECTOR_BYTES = 512;
const AT_ONCE = 4;

export interface CompareOptions extends WorkOptions {
  /** Sizes have to be the same, and what is data, zeros and left out. */
  readonly strict?: boolean | undefined;
}

/** `offset`: of the first sector that is not the same; `isBehindEnd`: of the shorter disk. */
export type CompareOutcome =
  | { readonly same: true; readonly sameSize: boolean }
  | { readonly same: false; readonly differ: 'size' }
  | {
      readonly same: false;
      readonly differ: 'content' | 'status';
      readonly offset: number;
      readonly isBehindEnd: boolean;
    };

/** One of the two cannot be read. */
export class CompareError extends Error {
  constructor(
    readonly offset: number,
    readonly path: string,
    override readonly cause: unknown,
  ) {
    super(`Error while reading offset ${offset} of ${path}: ${(cause as Error).message}`);
  }
}

export interface ComparedImage extends OpenImageOptions {
  readonly path: string;
}

/**
 * What is behind the shorter disk's end has to be zeros. With `strict`, other than for qemu-img, compressed data are data as well.
 *
 * @throws CompareError; XennerError EIMAGE_*, ELOCKED and system errors of opening; the signal's reason
 */
export async function compareImages(
  first: ComparedImage,
  second: ComparedImage,
  options: CompareOptions = {},
): Promise<CompareOutcome> {
  const one = await openImage(first.path, { ...first, readOnly: true });
  try {
    const other = await openImage(second.path, { ...second, readOnly: true });
    try {
      return await compareDisks(one, other, options);
    } finally {
      await other.close();
    }
  } finally {
    await one.close();
  }
}

interface Pair {
  readonly offset: number;
  readonly length: number;
  readonly kinds: readonly [DiskExtentKind, DiskExtentKind];
}

async function compareDisks(
  one: DiskImage,
  other: DiskImage,
  { strict = false, progress, signal }: CompareOptions,
): Promise<CompareOutcome> {
  const sameSize = one.sizeBytes === other.sizeBytes;
  if (strict && !sameSize) return { same: false, differ: 'size' };
  const total = Math.max(one.sizeBytes, other.sizeBytes);
  let found: { readonly differ: 'content' | 'status'; readonly offset: number } | undefined;
  let done = 0;
  progress?.(0, total);
  async function* pairs() {
    for await (const pair of pairsOf(one, other, total)) {
      if (found) return;
      const differs = strict && pair.kinds[0] !== pair.kinds[1];
      if (differs) found = { differ: 'status', offset: pair.offset };
      else if (pair.kinds.includes('data'))
        for (const chunk of chunks(pair.offset, pair.length)) yield { ...pair, ...chunk };
      else done += pair.length;
    }
  }
  await eachWithBuffer(pairs(), AT_ONCE, 2 * CHUNK_BYTES, async (pair, buffer) => {
    signal?.throwIfAborted();
    const offset = await firstDifference(one, other, pair, buffer);
    // All that lies before has been begun, and may still find one.
    if (offset !== undefined && !(found && found.offset <= offset)) found = { differ: 'content', offset };
    done += pair.length;
    progress?.(done, total);
  });
  if (!found) return { same: true, sameSize };
  return { same: false, ...found, isBehindEnd: found.offset >= Math.min(one.sizeBytes, other.sizeBytes) };
}

/** Both disks as if they had `total` bytes, with zeros at the end. */
async function* pairsOf(one: DiskImage, other: DiskImage, total: number): AsyncGenerator<Pair> {
  const streams = [one, other].map((image) => diskExtents(image)) as [Extents, Extents];
  const ends: [number, number] = [0, 0];
  const kinds: [DiskExtentKind, DiskExtentKind] = ['hole', 'hole'];
  for (let at = 0; at < total; ) {
    for (const side of [0, 1] as const) {
      if (ends[side] > at) continue;
      const next = await streams[side].next();
      kinds[side] = next.done ? 'hole' : next.value.kind;
      ends[side] = next.done ? total : next.value.offset + next.value.length;
    }
    const end = Math.min(...ends);
    yield { offset: at, length: end - at, kinds: [...kinds] };
    at = end;
  }
}

type Extents = ReturnType<typeof diskExtents>;

async function firstDifference(
  one: DiskImage,
  other: DiskImage,
  pair: Pair,
  buffer: Buffer,
): Promise<number | undefined> {
  const { offset, length, kinds } = pair;
  const halves = [buffer.subarray(0, length), buffer.subarray(CHUNK_BYTES, CHUNK_BYTES + length)] as const;
  const sides = [one, other].map((image, side) => ({ image, bytes: halves[side]!, kind: kinds[side]! }));
  const read = sides.filter(({ kind }) => kind === 'data');
  await Promise.all(
    read.map(async ({ image, bytes }) => {
      await image.read(offset, [bytes]).catch((cause) => {
        throw new CompareError(offset, image.path, cause);
      });
    }),
  );
  const [a, b] = read.map(({ bytes }) => bytes);
  const isSame = (from: number, to: number) =>
    b === undefined ? isZero(a!, from, to) : a!.compare(b, from, to, from, to) === 0;
  if (isSame(0, length)) return undefined;
  for (let at = 0; at < length; at += SECTOR_BYTES) if (!isSame(at, at + SECTOR_BYTES)) return offset + at;
  return undefined;
}
