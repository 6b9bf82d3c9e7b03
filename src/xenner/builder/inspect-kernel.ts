/** Everything that can be said about a kernel file without starting it. */
import { closeSync, constants, openSync } from 'node:fs';
import { readFully } from '../../base/files.js';
import { MAX_KERNEL_IMAGE_BYTES } from '../../base/limits.js';
import { type Compression, type Decompress, detectCompression } from './compression.js';
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

const HEAD_BYTES = 1024;
const ELF_MAGIC = Buffer.from('\x7fELF');
/** Of bzImages: boot_params.hdr.header (Linux, Documentation/arch/x86/boot.rst). */
const SETUP_MAGIC = Buffer.from('HdrS');
const SETUP_MAGIC_OFFSET = 0x202;

/** By its first bytes only. What cannot be read as a file of bytes looks like one, so that whoever opens it says why not. */
export function looksLikeKernel(path: string): boolean {
  const head = Buffer.alloc(HEAD_BYTES);
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      readFully(fd, head, 0);
    } finally {
      closeSync(fd);
    }
  } catch {
    return true;
  }
  return (
    head.subarray(0, 4).equals(ELF_MAGIC) ||
    head.subarray(SETUP_MAGIC_OFFSET, SETUP_MAGIC_OFFSET + 4).equals(SETUP_MAGIC) ||
    detectCompression(head) !== undefined
  );
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
