/** Which pieces of a buffer are zeros. */

const ZEROS = Buffer.alloc(64 * 1024);

/** Data ends with its last byte: what looks like zeros is looked at as a whole, the rest is told by a few words. */
export function isZero(bytes: Buffer, from: number, to: number): boolean {
  const middle = from + ((((to - from) / 2) | 0) & ~7);
  if (bytes[from] !== 0 || bytes[middle] !== 0 || bytes[to - 1] !== 0) return false;
  for (let at = from; at < to; at += ZEROS.length) {
    const end = Math.min(to, at + ZEROS.length);
    if (bytes.compare(ZEROS, 0, end - at, at, end) !== 0) return false;
  }
  return true;
}

/** Calls back for each run of pieces that are alike, in order; `unit` bytes are a piece. */
export function eachRun(
  bytes: Buffer,
  unit: number,
  use: (zero: boolean, from: number, to: number) => void,
): void {
  for (let at = 0; at < bytes.length; ) {
    const from = at;
    const zero = isZero(bytes, at, Math.min(bytes.length, at + unit));
    do at = Math.min(bytes.length, at + unit);
    while (at < bytes.length && isZero(bytes, at, Math.min(bytes.length, at + unit)) === zero);
    use(zero, from, at);
  }
}
