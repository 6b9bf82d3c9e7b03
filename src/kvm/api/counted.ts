/** KVM's structures that end in an array: a head whose first 32 bits are the count, then the elements. */
import type { CStruct, Encodable } from '../../base/layout.js';

export function decodeCounted<T extends object>(
  head: CStruct<object>,
  element: CStruct<T>,
  bytes: Uint8Array,
): T[] {
  const count = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  return Array.from({ length: count }, (_, i) => element.decode(bytes, head.size + i * element.size));
}

export function encodeCounted<T extends object>(
  head: CStruct<object>,
  element: CStruct<T>,
  elements: readonly Encodable<T>[],
): Buffer {
  const bytes = Buffer.alloc(head.size + elements.length * element.size);
  bytes.writeUInt32LE(elements.length, 0);
  elements.forEach((value, i) => {
    element.encode(value, bytes, head.size + i * element.size);
  });
  return bytes;
}
