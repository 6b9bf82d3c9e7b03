/** CRC-32C (Castagnoli) as file systems use it: without the final inversion, so that sums can be continued. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc;
});

/** @param crc what came before; ~0 at the start */
export function crc32c(crc: number, bytes: Uint8Array): number {
  let sum = crc >>> 0;
  for (let i = 0; i < bytes.length; i++) sum = (sum >>> 8) ^ TABLE[(sum ^ bytes[i]!) & 0xff]!;
  return sum >>> 0;
}

/** Continues a sum by a 32-bit number, little-endian. */
export function crc32cOf(crc: number, value: number): number {
  return crc32c(crc, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
}
