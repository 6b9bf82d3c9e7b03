/** UUIDs as text, in lower case. */

/** As file systems store them: sixteen bytes in the order of the text. */
export function uuid(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** As UEFI stores them: the first three fields are little-endian numbers. */
export function guid(bytes: Uint8Array): string {
  const ordered = Buffer.from(bytes);
  ordered.subarray(0, 4).reverse();
  ordered.subarray(4, 6).reverse();
  ordered.subarray(6, 8).reverse();
  return uuid(ordered);
}
