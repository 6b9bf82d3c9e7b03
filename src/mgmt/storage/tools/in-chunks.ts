/** Long ranges in pieces, several at once, each beside memory of its own. */

/** A multiple of most clusters: pieces of one cluster that are written by themselves would wait for each other. */
export const CHUNK_BYTES = 1024 * 1024;

interface Chunk {
  readonly offset: number;
  readonly length: number;
}

/** A range, cut at multiples of a chunk. */
export function* chunks(offset: number, length: number, chunkBytes = CHUNK_BYTES): Generator<Chunk> {
  const end = offset + length;
  for (let at = offset; at < end; ) {
    const next = Math.min(end, at - (at % chunkBytes) + chunkBytes);
    yield { offset: at, length: next - at };
    at = next;
  }
}

/**
 * Runs `work` on what `items` gives, in order, at most `atOnce` at the same time. Rejects with the first failure, when all that were begun
 * have ended; none is begun after it.
 */
export async function eachWithBuffer<T>(
  items: AsyncGenerator<T>,
  atOnce: number,
  bufferBytes: number,
  work: (item: T, buffer: Buffer) => Promise<void>,
): Promise<void> {
  let failed = false;
  const worker = async () => {
    const buffer = Buffer.allocUnsafeSlow(bufferBytes);
    try {
      for (let next = await items.next(); !next.done && !failed; next = await items.next())
        await work(next.value, buffer);
    } catch (error) {
      failed = true;
      throw error;
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: atOnce }, worker));
  const rejected = outcomes.find((outcome) => outcome.status === 'rejected');
  if (rejected) throw rejected.reason;
}
