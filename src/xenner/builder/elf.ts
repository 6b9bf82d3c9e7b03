/** ELF executables, 32- and 64-bit, little-endian x86: headers, segments and sections. Every field is hostile. */
import { XennerError } from '../../base/errors.js';
import { type CStruct, cstruct, type Field, pad, u8, u16, u32, u64 } from '../../base/layout.js';
import {
  MAX_ELF_PROGRAM_HEADERS,
  MAX_ELF_SECTION_HEADERS,
  MAX_ELF_STRING_TABLE_BYTES,
  MAX_KERNEL_ELF_BYTES,
} from '../../base/limits.js';
import { type ImageSource, readBytes } from './image-source.js';

export const ELF_MAGIC = 0x464c457f;

const EI_CLASS = { 1: 32, 2: 64 } as const;
export const ELFDATA2LSB = 1;
const EM_386 = 3;
export const EM_X86_64 = 62;
const ET_EXEC = 2;
const ET_DYN = 3;
export const PT_LOAD = 1;
export const PT_NOTE = 4;
export const SHT_NOTE = 7;
const SHT_NOBITS = 8;

/** Elf32_Addr, Elf32_Off or Elf64_Xword and so on. */
type Word = Field<number | bigint>;

/** The headers of one ELF class. */
function layouts(prefix: string, word: Word, sizes: { ehdr: number; phdr: number; shdr: number }) {
  return {
    ehdr: cstruct(`${prefix}_Ehdr`, 'elf.h', sizes.ehdr, {
      magic: u32,
      ei_class: u8,
      ei_data: u8,
      ei_version: u8,
      ei_pad: pad(9),
      e_type: u16,
      e_machine: u16,
      e_version: u32,
      e_entry: word,
      e_phoff: word,
      e_shoff: word,
      e_flags: u32,
      e_ehsize: u16,
      e_phentsize: u16,
      e_phnum: u16,
      e_shentsize: u16,
      e_shnum: u16,
      e_shstrndx: u16,
    }),
    phdr: cstruct(`${prefix}_Phdr`, 'elf.h', sizes.phdr, {
      p_type: u32,
      // The only member that changes its place between the classes.
      ...(word.size === 8 ? { p_flags: u32 } : {}),
      p_offset: word,
      p_vaddr: word,
      p_paddr: word,
      p_filesz: word,
      p_memsz: word,
      ...(word.size === 8 ? {} : { p_flags: u32 }),
      p_align: word,
    }),
    shdr: cstruct(`${prefix}_Shdr`, 'elf.h', sizes.shdr, {
      sh_name: u32,
      sh_type: u32,
      sh_flags: word,
      sh_addr: word,
      sh_offset: word,
      sh_size: word,
      sh_link: u32,
      sh_info: u32,
      sh_addralign: word,
      sh_entsize: word,
    }),
  };
}

const ELF32 = layouts('Elf32', u32, { ehdr: 52, phdr: 32, shdr: 40 });
export const ELF64 = layouts('Elf64', u64, { ehdr: 64, phdr: 56, shdr: 64 });

/** Bytes of the file that a segment or section covers. */
export interface FileRange {
  offset: number;
  length: number;
}

export interface ElfSegment extends FileRange {
  type: number;
  paddr: bigint;
  /** Bytes in memory, at least `length`; what the file does not give is zero. */
  memoryBytes: number;
}

export interface ElfSection extends FileRange {
  name: string;
  type: number;
}

export interface Elf {
  bits: 32 | 64;
  entry: bigint;
  segments: ElfSegment[];
  /** Read on demand: only kernels without note segments need them. @throws XennerError EIMAGE_DAMAGED */
  sections(): ElfSection[];
}

type Layouts = typeof ELF64;
type Ehdr = ReturnType<Layouts['ehdr']['decode']>;

/** @throws XennerError EIMAGE_DAMAGED for a broken file, EIMAGE_FORMAT for one that is no x86 executable */
export function parseElf(source: ImageSource): Elf {
  const head = readBytes(source, 0, Math.min(source.size, ELF64.ehdr.size));
  if (head.length < 20 || head.readUInt32LE(0) !== ELF_MAGIC) {
    throw new XennerError('EIMAGE_FORMAT', 'the kernel is not an ELF file');
  }
  const bits = EI_CLASS[head[4] as 1 | 2];
  const layouts = bits === 64 ? ELF64 : ELF32;
  if (bits === undefined || head[5] !== ELFDATA2LSB) {
    throw new XennerError('EIMAGE_FORMAT', 'the kernel is not a little-endian ELF file');
  }
  if (head.length < layouts.ehdr.size) throw damaged('the ELF header is cut off');
  const ehdr = layouts.ehdr.decode(head);
  checkKind(ehdr, bits);
  return {
    bits,
    entry: BigInt(ehdr.e_entry),
    segments: readSegments(source, ehdr, layouts.phdr),
    sections: () => readSections(source, ehdr, layouts.shdr),
  };
}

function checkKind(ehdr: Ehdr, bits: 32 | 64): void {
  const machine = bits === 64 ? EM_X86_64 : EM_386;
  if (ehdr.e_machine !== machine) {
    throw new XennerError(
      'EIMAGE_FORMAT',
      `the kernel is built for another machine (e_machine ${ehdr.e_machine})`,
    );
  }
  if (ehdr.e_type !== ET_EXEC && ehdr.e_type !== ET_DYN) {
    throw new XennerError('EIMAGE_FORMAT', `the ELF file is not an executable (e_type ${ehdr.e_type})`);
  }
}

function readSegments(source: ImageSource, ehdr: Ehdr, layout: Layouts['phdr']): ElfSegment[] {
  const table = readTable(
    source,
    layout,
    ehdr.e_phoff,
    ehdr.e_phentsize,
    ehdr.e_phnum,
    MAX_ELF_PROGRAM_HEADERS,
  );
  const segments: ElfSegment[] = [];
  for (const phdr of table) {
    if (phdr.p_type !== PT_LOAD && phdr.p_type !== PT_NOTE) continue;
    segments.push({
      type: phdr.p_type,
      paddr: BigInt(phdr.p_paddr),
      ...fileRange(source, phdr.p_offset, phdr.p_filesz),
      memoryBytes: boundedSize(phdr.p_memsz),
    });
  }
  const loads = segments.filter((segment) => segment.type === PT_LOAD && segment.memoryBytes > 0);
  if (loads.length === 0) throw damaged('the ELF file has nothing to load');
  checkLoads(loads);
  return segments.filter((segment) => segment.type !== PT_LOAD || segment.memoryBytes > 0);
}

/** Overlapping segments would make the order of loading matter; no linker makes them. */
function checkLoads(loads: ElfSegment[]): void {
  let end = 0n;
  for (const { paddr, length, memoryBytes } of [...loads].sort((a, b) => (a.paddr < b.paddr ? -1 : 1))) {
    if (length > memoryBytes) throw damaged('a segment is larger in the file than in memory');
    if (paddr < end) throw damaged('segments overlap');
    end = paddr + BigInt(memoryBytes);
    if (end > 1n << 64n) throw damaged('a segment ends past the address space');
  }
}

function readSections(source: ImageSource, ehdr: Ehdr, layout: Layouts['shdr']): ElfSection[] {
  const table = readTable(
    source,
    layout,
    ehdr.e_shoff,
    ehdr.e_shentsize,
    ehdr.e_shnum,
    MAX_ELF_SECTION_HEADERS,
  );
  const strings = table[ehdr.e_shstrndx];
  const range =
    strings === undefined ? { offset: 0, length: 0 } : fileRange(source, strings.sh_offset, strings.sh_size);
  if (range.length > MAX_ELF_STRING_TABLE_BYTES) throw damaged('the table of section names is too large');
  const names = readBytes(source, range.offset, range.length);
  return table
    .filter((shdr) => shdr.sh_type !== SHT_NOBITS)
    .map((shdr) => ({
      name: nameAt(names, shdr.sh_name),
      type: shdr.sh_type,
      ...fileRange(source, shdr.sh_offset, shdr.sh_size),
    }));
}

/** Names that matter are short, and a hostile table must not make every section's name megabytes long. */
function nameAt(names: Buffer, offset: number): string {
  const window = names.subarray(offset, offset + 64);
  const end = window.indexOf(0);
  return window.toString('latin1', 0, end < 0 ? window.length : end);
}

function readTable<T extends object>(
  source: ImageSource,
  layout: CStruct<T>,
  offset: bigint | number,
  entryBytes: number,
  count: number,
  maxCount: number,
): T[] {
  if (count === 0) return [];
  if (entryBytes !== layout.size)
    throw damaged(`${layout.ctype} has ${entryBytes} bytes instead of ${layout.size}`);
  if (count > maxCount)
    throw damaged(`${count} ${layout.ctype} entries are more than the limit of ${maxCount}`);
  const table = readBytes(source, Number(offset), count * layout.size);
  return Array.from({ length: count }, (_, i) => layout.decode(table, i * layout.size));
}

function fileRange(source: ImageSource, offset: bigint | number, length: bigint | number): FileRange {
  const range = { offset: Number(offset), length: Number(length) };
  if (range.length > source.size || range.offset > source.size - range.length) {
    throw damaged(`the file ends after ${source.size} bytes, inside a segment or section`);
  }
  return range;
}

function boundedSize(size: bigint | number): number {
  if (size > MAX_KERNEL_ELF_BYTES) {
    throw new XennerError('EIMAGE_TOO_BIG', `a segment of ${size} bytes is more than the limit of 512 MiB`);
  }
  return Number(size);
}

function damaged(why: string): XennerError {
  return new XennerError('EIMAGE_DAMAGED', `the kernel is damaged: ${why}`);
}
