/** Where the pieces of a disk are, through all images that it is above; in the shape of QEMU's MapEntry (qapi/block-core.json). */
import { unsupported } from '../image-errors.js';
import { ClusterMap } from '../qcow2/cluster-map.js';
import { CRYPT, INCOMPATIBLE } from '../qcow2/format.js';
import { readHeader } from '../qcow2/open.js';
import { StorageFile } from '../storage-file.js';
import type { ImageFileOptions } from './image-file.js';
import { type ImageInfo, imageChain } from './info.js';

/** So much is looked at at once, as QEMU does. */
const STEP_BYTES = 2 ** 30;

export interface MapOptions extends ImageFileOptions {
  readonly startOffset?: number | undefined;
  readonly maxLength?: number | undefined;
}

export interface MapEntry {
  readonly start: number;
  readonly length: number;
  /** 0: the image itself; n: the n-th image below it. */
  readonly depth: number;
  readonly present: boolean;
  readonly zero: boolean;
  readonly data: boolean;
  /** Of data as they are, in `filename`. */
  readonly offset?: number | undefined;
  readonly filename?: string | undefined;
}

type Piece = Omit<MapEntry, 'depth'>;

/** One image of the chain. */
interface Layer {
  readonly sizeBytes: number;
  readonly file: StorageFile;
  /** In order, without gaps; what is not `present` and not zero lies below. */
  pieces(start: number, end: number): Promise<Piece[]>;
}

/** Neighbours that are alike are one. @throws XennerError ELOCKED, EIMAGE_*, EBACKING; system errors */
export async function* mapImage(path: string, options: MapOptions = {}): AsyncGenerator<MapEntry> {
  const layers: Layer[] = [];
  try {
    for (const info of await imageChain(path, options)) layers.push(await openLayer(info, options));
    const { startOffset = 0, maxLength = Number.POSITIVE_INFINITY } = options;
    const end = Math.min(layers[0]!.sizeBytes, startOffset + maxLength);
    let last: MapEntry | undefined;
    for (let start = startOffset; start < end; start += STEP_BYTES)
      for await (const entry of entriesOf(layers, 0, start, Math.min(end, start + STEP_BYTES))) {
        if (last && isMore(last, entry)) last = { ...last, length: last.length + entry.length };
        else {
          if (last) yield last;
          last = entry;
        }
      }
    if (last) yield last;
  } finally {
    for (const { file } of layers) await file.close();
  }
}

function isMore(last: MapEntry, next: MapEntry): boolean {
  if (last.depth !== next.depth || last.present !== next.present || last.filename !== next.filename)
    return false;
  if (last.zero !== next.zero || last.data !== next.data) return false;
  return last.offset === undefined ? next.offset === undefined : next.offset === last.offset + last.length;
}

async function* entriesOf(
  layers: readonly Layer[],
  depth: number,
  start: number,
  end: number,
): AsyncGenerator<MapEntry> {
  for (const piece of await layers[depth]!.pieces(start, end)) {
    if (piece.present) {
      yield { ...piece, depth };
      continue;
    }
    const stop = piece.start + piece.length;
    const covered = Math.max(piece.start, Math.min(stop, layers[depth + 1]?.sizeBytes ?? 0));
    if (covered > piece.start) yield* entriesOf(layers, depth + 1, piece.start, covered);
    if (covered < stop)
      yield { start: covered, length: stop - covered, depth, present: false, zero: true, data: false };
  }
}

async function openLayer(info: ImageInfo, options: ImageFileOptions): Promise<Layer> {
  const path = info.filename;
  const file = await StorageFile.open(path, {
    readOnly: true,
    ...(options.forceShare && { lock: 'shared-read' as const }),
  });
  try {
    const sizeBytes = info['virtual-size'];
    if (info.format === 'raw')
      return { file, sizeBytes, pieces: (start, end) => rawPieces(file, start, end) };
    if (info.format !== 'qcow2') throw unsupported(path, `is ${info.format}, whose pieces cannot be shown`);
    const header = await readHeader(file);
    const l1 = new Uint8Array(header.l1Entries * 8);
    await file.read(header.l1Offset, [l1]);
    const hasDataFile = (header.incompatible & INCOMPATIBLE.externalData) !== 0n;
    const map = new ClusterMap(file, header, header.l1Offset, l1, hasDataFile);
    const filename = hasDataFile ? header.extensions.dataFile : path;
    const isPlain = header.cryptMethod === CRYPT.none;
    return { file, sizeBytes, pieces: (start, end) => qcow2Pieces(map, start, end, isPlain, filename) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function rawPieces(file: StorageFile, start: number, end: number): Promise<Piece[]> {
  const pieces: Piece[] = [];
  const add = (from: number, to: number, data: boolean) => {
    if (to > from)
      pieces.push({
        start: from,
        length: to - from,
        present: true,
        zero: !data,
        data,
        offset: from,
        filename: file.path,
      });
  };
  for (let at = start; at < end; ) {
    const next = await file.dataAt(at);
    const from = Math.min(end, next?.start ?? end);
    const to = Math.min(end, next?.end ?? end);
    add(at, from, false);
    add(from, to, true);
    at = Math.max(from, to);
  }
  return pieces;
}

async function qcow2Pieces(
  map: ClusterMap,
  start: number,
  end: number,
  isPlain: boolean,
  filename: string | undefined,
): Promise<Piece[]> {
  let at = start;
  return (await map.extents(start, end - start)).map(({ kind, length, host }) => {
    const place = kind === 'data' && isPlain ? { offset: host, filename } : {};
    const data = kind === 'data' || kind === 'compressed';
    const piece = { start: at, length, present: kind !== 'hole', zero: kind === 'zero', data, ...place };
    at += length;
    return piece;
  });
}
