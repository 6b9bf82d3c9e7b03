/** Opens a kernel file: unpacked, by way of the cache, and with what it says about itself. */
import { MAX_KERNEL_IMAGE_BYTES } from '../../base/limits.js';
import type { Decompress } from './compression.js';
import { type Elf, parseElf } from './elf.js';
import { BufferSource, type ImageSource, openFile, readBytes } from './image-source.js';
import { type KernelCache, kernelCacheKey } from './kernel-cache.js';
import { type PvKernel, requirePvKernel } from './pv-kernel.js';
import { isElf, unpackKernel } from './unpack.js';
import { readXenParams, type XenParams } from './xen-params.js';

/** Owns `source`: close that when the kernel has been loaded. */
export interface KernelImage {
  source: ImageSource;
  elf: Elf;
  params: XenParams;
  pv: PvKernel;
}

/**
 * @param cache left out: unpacks every time
 * @throws XennerError EIMAGE_FILE, EIMAGE_TOO_BIG, EIMAGE_FORMAT, EIMAGE_DAMAGED, EKERNEL_NOT_PV
 */
export function openKernel(path: string, decompress: Decompress, cache?: KernelCache): KernelImage {
  const source = unpacked(path, decompress, cache);
  try {
    const elf = parseElf(source);
    const params = readXenParams(source, elf);
    const pv = requirePvKernel(elf, params);
    return { source, elf, params: params!, pv };
  } catch (error) {
    source.close();
    throw error;
  }
}

function unpacked(path: string, decompress: Decompress, cache: KernelCache | undefined): ImageSource {
  const file = openFile(path, 'kernel', MAX_KERNEL_IMAGE_BYTES);
  let keep = false;
  try {
    // A plain ELF file is read in place, straight into guest memory.
    keep = isElf(readBytes(file, 0, Math.min(4, file.size)));
    if (keep) return file;
    const key = cache && kernelCacheKey(file);
    const cached = key && cache.find(key);
    if (cached) return cached;
    const { elf } = unpackKernel(readBytes(file, 0, file.size), decompress);
    if (key) cache.store(key, elf);
    return new BufferSource(elf);
  } finally {
    if (!keep) file.close();
  }
}
