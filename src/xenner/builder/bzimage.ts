/** Linux's bzImage: the setup header leads to the compressed vmlinux; Documentation/arch/x86/boot.rst. */
import { XennerError } from '../../base/errors.js';
import { MAX_KERNEL_ELF_BYTES } from '../../base/limits.js';
import { type Compression, type Decompress, detectCompression, expand } from './compression.js';
import { ELF_MAGIC } from './elf.js';
import { tooBig } from './output-buffer.js';

const SECTOR_BYTES = 512;
const BOOT_FLAG = 0x1fe;
const BOOT_FLAG_MAGIC = 0xaa55;
const HEADER = 0x202;
const HEADER_MAGIC = 0x53726448; // "HdrS"
const VERSION = 0x206;
const SETUP_SECTS = 0x1f1;
/** An old bootloader's way to say 4. */
const SETUP_SECTS_DEFAULT = 4;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
/** The first protocol with payload_offset and payload_length: Linux 2.6.24. */
const VERSION_WITH_PAYLOAD = 0x0208;
const HEADER_END = 0x250;
/** The build appends the expanded size to the payload; gzip has it at its end anyway. */
const SIZE_BYTES = 4;

export interface Expanded {
  elf: Buffer;
  /** Undefined for a kernel that was built uncompressed. */
  compression: Compression | undefined;
}

export function isBzImage(data: Buffer): boolean {
  return (
    data.length >= HEADER + 4 &&
    data.readUInt16LE(BOOT_FLAG) === BOOT_FLAG_MAGIC &&
    data.readUInt32LE(HEADER) === HEADER_MAGIC
  );
}

/** @throws XennerError EIMAGE_DAMAGED, EIMAGE_FORMAT, EIMAGE_TOO_BIG */
export function expandBzImage(data: Buffer, decompress: Decompress): Expanded {
  const payload = findPayload(data);
  const size = payload.readUInt32LE(payload.length - SIZE_BYTES);
  const stream = payload.subarray(0, payload.length - SIZE_BYTES);
  if (stream.length >= 4 && stream.readUInt32LE(0) === ELF_MAGIC)
    return { elf: stream, compression: undefined };
  const compression = detectCompression(stream);
  if (compression === undefined) {
    throw new XennerError('EIMAGE_FORMAT', 'the payload of the bzImage has no compression that is known');
  }
  if (size > MAX_KERNEL_ELF_BYTES) throw tooBig(MAX_KERNEL_ELF_BYTES);
  const elf = expand(compression, compression === 'gzip' ? payload : stream, size, decompress);
  if (elf.length !== size) throw damaged(`its payload expands to ${elf.length} bytes instead of ${size}`);
  return { elf, compression };
}

function findPayload(data: Buffer): Buffer {
  if (data.length < HEADER_END) throw damaged('the setup header is cut off');
  const version = data.readUInt16LE(VERSION);
  if (version < VERSION_WITH_PAYLOAD) {
    const text = `boot protocol ${version >> 8}.${String(version & 0xff).padStart(2, '0')}`;
    throw new XennerError(
      'EIMAGE_FORMAT',
      `the bzImage does not say where its kernel is (${text}, older than 2.08)`,
      'use its vmlinux',
    );
  }
  const setup = ((data[SETUP_SECTS] || SETUP_SECTS_DEFAULT) + 1) * SECTOR_BYTES;
  const start = setup + data.readUInt32LE(PAYLOAD_OFFSET);
  const end = start + data.readUInt32LE(PAYLOAD_LENGTH);
  if (end > data.length || end - start < SIZE_BYTES) throw damaged('the payload is cut off');
  return data.subarray(start, end);
}

function damaged(why: string): XennerError {
  return new XennerError('EIMAGE_DAMAGED', `the bzImage is damaged: ${why}`);
}
