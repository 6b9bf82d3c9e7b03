/** Buffers that are one range together, as preadv(2) takes them. */

export function totalBytes(buffers: readonly Uint8Array[]): number {
  let total = 0;
  for (const buffer of buffers) total += buffer.length;
  return total;
}

/** Views of [from, from + length) of what the buffers are together. */
export function slice(buffers: readonly Uint8Array[], from: number, length: number): readonly Uint8Array[] {
  const views: Uint8Array[] = [];
  let skip = from;
  let left = length;
  for (const buffer of buffers) {
    if (left === 0) break;
    if (skip >= buffer.length) {
      skip -= buffer.length;
      continue;
    }
    const take = Math.min(left, buffer.length - skip);
    views.push(take === buffer.length ? buffer : buffer.subarray(skip, skip + take));
    skip = 0;
    left -= take;
  }
  return views;
}

export function fillZero(buffers: readonly Uint8Array[]): void {
  for (const buffer of buffers) buffer.fill(0);
}

/** A private copy, which nobody else can change any more. */
export function gather(
  buffers: readonly Uint8Array[],
  into: Uint8Array = new Uint8Array(totalBytes(buffers)),
): Uint8Array {
  let at = 0;
  for (const buffer of buffers) {
    into.set(buffer, at);
    at += buffer.length;
  }
  return into;
}

export function scatter(from: Uint8Array, into: readonly Uint8Array[]): void {
  let at = 0;
  for (const buffer of into) {
    buffer.set(from.subarray(at, at + buffer.length));
    at += buffer.length;
  }
}
