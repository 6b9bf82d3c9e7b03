/** A volume's bytes as a stream that may have holes in it, as libvirt's (virStreamSend, virStreamSendHole). */
import { zeroRange } from '../raw-image.js';
import type { StorageFile } from '../storage-file.js';
import { PoolError } from './errors.js';

/** Bytes, or so many zeros that need no space. */
export type StreamPiece = Uint8Array | { readonly hole: number };

export interface StreamRange {
  /** Default 0. */
  readonly offset?: number | undefined;
  /** By default, and for 0, up to the end. */
  readonly length?: number | undefined;
  /** Of what is read, holes are told as such. */
  readonly sparse?: boolean | undefined;
}

const CHUNK_BYTES = 1024 * 1024;

export async function* readPieces(file: StorageFile, range: StreamRange): AsyncGenerator<StreamPiece> {
  const { offset = 0, length = 0, sparse = false } = range;
  if (offset > file.sizeBytes)
    throw new PoolError('VIR_ERR_INVALID_ARG', `${file.path} ends before byte ${offset}`);
  const end = length === 0 ? file.sizeBytes : Math.min(file.sizeBytes, offset + length);
  for (let at = offset; at < end; ) {
    const data = sparse ? ((await file.dataAt(at)) ?? { start: end, end }) : { start: at, end };
    const start = Math.min(data.start, end);
    if (start > at) yield { hole: start - at };
    const stop = Math.min(data.end, end);
    for (at = start; at < stop; at += CHUNK_BYTES) {
      const chunk = new Uint8Array(Math.min(CHUNK_BYTES, stop - at));
      await file.read(at, [chunk]);
      yield chunk;
    }
    at = stop;
  }
}

/** On the disk when it resolves. */
export async function writePieces(
  file: StorageFile,
  pieces: AsyncIterable<StreamPiece>,
  { offset = 0, length = 0 }: StreamRange,
): Promise<void> {
  let at = offset;
  for await (const piece of pieces) {
    const bytes = piece instanceof Uint8Array ? piece.length : piece.hole;
    if (length > 0 && at + bytes > offset + length)
      throw new PoolError('VIR_ERR_INVALID_ARG', `there are more than the ${length} bytes that were told`);
    if (piece instanceof Uint8Array) await file.write(at, [piece]);
    else await zeroRange(file, at, Math.max(0, Math.min(bytes, file.sizeBytes - at)), true);
    at += bytes;
  }
  if (at > file.sizeBytes) await file.truncate(at);
  await file.sync();
}
