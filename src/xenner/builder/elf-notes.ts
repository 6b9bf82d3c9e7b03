/** ELF notes, and what the ones named Xen say; xen/common/libelf/libelf-dominfo.c has the rules. */
import { XennerError } from '../../base/errors.js';
import { MAX_ELF_NOTE_BYTES, MAX_ELF_NOTE_STRING_BYTES, MAX_ELF_NOTES } from '../../base/limits.js';
import * as elfnote from '../abi/elfnote.js';
import { type Elf, type FileRange, PT_NOTE, SHT_NOTE } from './elf.js';
import { type ImageSource, readBytes } from './image-source.js';

export interface XenNote {
  /** XEN_ELFNOTE_* number. */
  type: number;
  /** Without its prefix, e.g. `VIRT_BASE`; a number for types that the public headers do not name. */
  name: string;
  desc: Buffer;
}

const NAMES = new Map<number, string>(
  Object.entries(elfnote)
    .filter(([name]) => name !== 'XEN_ELFNOTE_MAX')
    .map(([name, type]) => [type, name.replace('XEN_ELFNOTE_', '')] as const),
);

/**
 * Notes of the segments; of the sections when the segments have none, as libelf does for kernels whose linker script
 * made no note segment.
 */
export function readXenNotes(source: ImageSource, elf: Elf): XenNote[] {
  const fromSegments = readRanges(
    source,
    // Some versions of binutils leave p_offset 0 for note segments: libelf skips them.
    elf.segments.filter((segment) => segment.type === PT_NOTE && segment.offset !== 0),
  );
  if (fromSegments.length > 0) return fromSegments;
  return readRanges(
    source,
    elf.sections().filter((section) => section.type === SHT_NOTE),
  );
}

function readRanges(source: ImageSource, ranges: FileRange[]): XenNote[] {
  const total = ranges.reduce((sum, range) => sum + range.length, 0);
  if (total > MAX_ELF_NOTE_BYTES) throw damaged(`${total} bytes of notes are more than the limit`);
  return ranges.flatMap((range) => parseNotes(readBytes(source, range.offset, range.length)));
}

const NHDR_BYTES = 12;

/** @throws XennerError EIMAGE_DAMAGED when a note is longer than what holds it */
export function parseNotes(bytes: Buffer): XenNote[] {
  const notes: XenNote[] = [];
  let at = 0;
  for (let count = 0; at + NHDR_BYTES <= bytes.length; count++) {
    if (count >= MAX_ELF_NOTES) throw damaged(`more than ${MAX_ELF_NOTES} notes`);
    const nameBytes = bytes.readUInt32LE(at);
    const descBytes = bytes.readUInt32LE(at + 4);
    const type = bytes.readUInt32LE(at + 8);
    const name = at + NHDR_BYTES;
    const desc = name + pad4(nameBytes);
    if (desc + descBytes > bytes.length) throw damaged('a note ends past its segment');
    if (bytes.toString('latin1', name, name + nameBytes) === 'Xen\0') {
      notes.push({ type, name: NAMES.get(type) ?? `${type}`, desc: bytes.subarray(desc, desc + descBytes) });
    }
    at = desc + pad4(descBytes);
  }
  return notes;
}

function pad4(length: number): number {
  return Math.ceil(length / 4) * 4;
}

/**
 * libelf's elf_note_numeric takes 1, 2, 4 or 8 bytes and reads every other size as 0, which would put a kernel at
 * address 0 in silence.
 */
export function numericNote(note: XenNote): bigint {
  const { desc } = note;
  switch (desc.length) {
    case 1:
    case 2:
    case 4:
      return BigInt(desc.readUIntLE(0, desc.length));
    case 8:
      return desc.readBigUInt64LE(0);
    default:
      throw damaged(`note ${note.name} has ${desc.length} bytes, which is no number`);
  }
}

/** Up to the NUL, or to the end: old kernels' FEATURES have none. */
export function stringNote(note: XenNote): string {
  return boundedString(note.desc, `note ${note.name}`);
}

export function boundedString(bytes: Buffer, what: string): string {
  const end = bytes.indexOf(0);
  const length = end < 0 ? bytes.length : end;
  if (length > MAX_ELF_NOTE_STRING_BYTES) throw damaged(`${what} has a string of ${length} bytes`);
  return bytes.toString('latin1', 0, length);
}

function damaged(why: string): XennerError {
  return new XennerError('EIMAGE_DAMAGED', `the kernel is damaged: ${why}`);
}
