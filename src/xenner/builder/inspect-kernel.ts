/** Everything that can be said about a kernel file without starting it. */
import { MAX_KERNEL_IMAGE_BYTES } from '../../base/limits.js';
import type { Compression, Decompress } from './compression.js';
import { type Elf, parseElf } from './elf.js';
import type { Features } from './features.js';
import { BufferSource, openFile, readBytes } from './image-source.js';
import { type PvKernel, pvKernel } from './pv-kernel.js';
import { unpackKernel } from './unpack.js';
import { readXenParams, type XenParams } from './xen-params.js';

export interface KernelReport {
  fileBytes: number;
  elfBytes: number;
  loader: 'ELF' | 'bzImage';
  /** Outermost first; empty for an uncompressed kernel. */
  compression: Compression[];
  bits: Elf['bits'];
  /** Undefined for a kernel that says nothing about Xen. */
  params: XenParams | undefined;
  features: Features | undefined;
  /** Addresses when it can boot as a 64-bit PV guest, else one clause that says why not. */
  pv: PvKernel | string;
}

/** @throws XennerError EIMAGE_FILE, EIMAGE_TOO_BIG, EIMAGE_FORMAT, EIMAGE_DAMAGED */
export function inspectKernel(path: string, decompress: Decompress): KernelReport {
  const file = openFile(path, 'kernel', MAX_KERNEL_IMAGE_BYTES);
  try {
    const data = readBytes(file, 0, file.size);
    const { elf: image, loader, compression } = unpackKernel(data, decompress);
    const source = new BufferSource(image);
    const elf = parseElf(source);
    const params = readXenParams(source, elf);
    return {
      fileBytes: data.length,
      elfBytes: image.length,
      loader,
      compression,
      bits: elf.bits,
      params,
      features: params?.features,
      pv: pvKernel(elf, params),
    };
  } finally {
    file.close();
  }
}
