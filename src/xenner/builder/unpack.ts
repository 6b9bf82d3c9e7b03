/** From a kernel file as distributions ship it to its ELF image. */
import { XennerError } from '../../base/errors.js';
import { MAX_KERNEL_ELF_BYTES } from '../../base/limits.js';
import { expandBzImage, isBzImage } from './bzimage.js';
import { type Compression, type Decompress, detectCompression, expand } from './compression.js';
import { ELF_MAGIC } from './elf.js';

export interface Unpacked {
  /** Part of the input when that was not compressed. */
  elf: Buffer;
  loader: 'ELF' | 'bzImage';
  /** Outermost first: a gzipped bzImage with an xz payload gives gzip, xz. */
  compression: Compression[];
}

export function isElf(data: Buffer): boolean {
  return data.length >= 4 && data.readUInt32LE(0) === ELF_MAGIC;
}

/** @throws XennerError EIMAGE_FORMAT, EIMAGE_DAMAGED, EIMAGE_TOO_BIG */
export function unpackKernel(data: Buffer, decompress: Decompress): Unpacked {
  const outer = detectCompression(data);
  if (outer === undefined) return unpackPlain(data, decompress);
  const inner = unpackPlain(expand(outer, data, MAX_KERNEL_ELF_BYTES, decompress), decompress);
  return { ...inner, compression: [outer, ...inner.compression] };
}

function unpackPlain(data: Buffer, decompress: Decompress): Unpacked {
  if (isElf(data)) return { elf: data, loader: 'ELF', compression: [] };
  if (isBzImage(data)) {
    const { elf, compression } = expandBzImage(data, decompress);
    if (!isElf(elf)) throw new XennerError('EIMAGE_FORMAT', 'the bzImage holds no ELF kernel');
    return { elf, loader: 'bzImage', compression: compression === undefined ? [] : [compression] };
  }
  throw new XennerError(
    'EIMAGE_FORMAT',
    'the kernel is neither an ELF file nor a bzImage',
    'give a vmlinuz or a vmlinux',
  );
}
