/** What Node.js has no call for: locks of open file descriptions, holes of files, memory that O_DIRECT takes. */
import { loadAddon } from './addon.js';

/** Takes a shared lock of the descriptor's open file description. False: somebody has an exclusive one. It ends with close(). */
export function shareRange(fd: number, offset: number, length: number): boolean {
  return loadAddon().shareRange(fd, offset, length);
}

/** Another open file description has a lock of any kind there. */
export function isRangeShared(fd: number, offset: number, length: number): boolean {
  return loadAddon().isRangeShared(fd, offset, length);
}

/** The range becomes a hole; the file's size stays. @throws (rejection) EOPNOTSUPP where there are none */
export async function punchHole(fd: number, offset: number, length: number): Promise<void> {
  await loadAddon().fileRange('punch', fd, offset, length);
}

/** The range reads as zeros and keeps its space. @throws (rejection) EOPNOTSUPP where that has to be done by writing */
export async function zeroRange(fd: number, offset: number, length: number): Promise<void> {
  await loadAddon().fileRange('zero', fd, offset, length);
}

/** The first range at or behind `offset` that may be other than zeros; undefined: there is none. */
export async function dataAt(
  fd: number,
  offset: number,
): Promise<{ readonly start: number; readonly end: number } | undefined> {
  const start = await loadAddon().fileRange('data', fd, offset, 0);
  if (start >= 2 ** 63) return undefined;
  return { start, end: await loadAddon().fileRange('hole', fd, start, 0) };
}

/** Ranges that one call asks for. */
const RANGES = 512;

/** Ranges before `end` that may be other than zeros, the last one perhaps beyond it; and how far that is all of them. */
export async function dataRanges(
  fd: number,
  offset: number,
  end: number,
): Promise<{ readonly ranges: Float64Array; readonly until: number }> {
  const ranges = new Float64Array(2 * RANGES);
  const count = await loadAddon().dataRanges(fd, offset, end, ranges);
  const until = count < ranges.length ? end : (ranges[count - 1] ?? end);
  return { ranges: ranges.subarray(0, count), until };
}

/** Size of a file or a block device, of which fstat does not know it. */
export function endOf(fd: number): Promise<number> {
  return loadAddon().fileRange('size', fd, 0, 0);
}

export function alignedMemory(bytes: number): Uint8Array {
  return new Uint8Array(loadAddon().alignedMemory(bytes));
}
