/**
 * A guest in a file, for people to look into: an ELF core with the sections of Xen's (docs/misc/dump-core-format.txt of Xen), and over
 * the same pages the segments and thread notes by which GDB finds them. Pages are in the order of their machine frame numbers.
 */
import { writeFully } from '../../base/files.js';
import { shared_info } from '../abi/xen.js';
import { ELF_MAGIC, ELF64, ELFDATA2LSB, EM_X86_64, PT_LOAD, PT_NOTE, SHT_NOTE } from '../builder/elf.js';
import type { Machine } from '../domain/machine.js';
import { PAGE } from '../save/save-file.js';
import { writeMemory, writeNewFile } from '../save/write.js';
import { coreVcpu, guestContext, prStatus, xenNotes } from './notes.js';
import { linearAddress, type Segment, segmentsOf } from './segments.js';

const ELFCLASS64 = 2;
const EV_CURRENT = 1;
const ET_CORE = 4;
const SHT_PROGBITS = 1;
const SHT_STRTAB = 3;
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;
/** { pfn, gmfn } of .xen_p2m. */
const P2M_ENTRY_BYTES = 16;

interface Section {
  readonly name: string;
  readonly type: number;
  readonly entrySize: number;
  readonly bytes: Uint8Array;
}

/**
 * Of a domain at rest, or of one that has ended.
 * @throws XennerError ESAVE: there is no new file
 */
export function writeCore(path: string, machine: Machine, stopped: () => boolean): void {
  const { memory, nrPages, profile } = machine;
  const vcpus = machine.vcpus.map(coreVcpu);
  const cr3 = vcpus.find(({ registers }) => registers !== undefined)?.registers?.cr3;
  const segments = cr3 === undefined ? [] : segmentsOf(memory, nrPages, cr3);
  const sections: Section[] = [
    { name: '.note.Xen', type: SHT_NOTE, entrySize: 0, bytes: xenNotes(profile, vcpus.length, nrPages) },
    section('.xen_prstatus', Buffer.concat(vcpus.map(guestContext)), vcpus.length),
    section('.xen_shared_info', memory.copyOut(machine.sharedInfo, shared_info.size), 1),
    section('.xen_p2m', p2m(machine), nrPages),
  ];
  const { head, pagesAt } = layOut(segments, sections, prStatus(vcpus), nrPages);
  writeNewFile(path, (fd) => {
    writeFully(fd, head, 0);
    writeMemory(fd, pagesAt, nrPages * PAGE, { memory, stopped });
  });
}

function section(name: string, bytes: Uint8Array, count: number): Section {
  return { name, type: SHT_PROGBITS, entrySize: bytes.length / count, bytes };
}

/** By machine frame: which frame of its own the guest has there, as it has told Xen. */
function p2m({ memory, m2p, nrPages }: Machine): Buffer {
  const pfns = memory.copyOut(m2p, nrPages * 8);
  const pairs = Buffer.alloc(nrPages * P2M_ENTRY_BYTES);
  for (let mfn = 0; mfn < nrPages; mfn++) {
    pairs.set(pfns.subarray(mfn * 8, mfn * 8 + 8), mfn * P2M_ENTRY_BYTES);
    pairs.writeUInt32LE(mfn, mfn * P2M_ENTRY_BYTES + 8);
  }
  return pairs;
}

/** Everything before the pages: headers, notes, sections, and the sections' names. */
function layOut(
  segments: readonly Segment[],
  sections: readonly Section[],
  notes: Buffer,
  nrPages: number,
): { head: Buffer; pagesAt: number } {
  const names = ['', ...sections.map(({ name }) => name), '.xen_pages', '.shstrtab'];
  const all = [
    ...sections,
    {
      name: '.shstrtab',
      type: SHT_STRTAB,
      entrySize: 0,
      bytes: Buffer.from(`${names.join('\0')}\0`, 'latin1'),
    },
  ];
  const notesAt = ELF64.ehdr.size + (segments.length + 1) * ELF64.phdr.size;
  let at = notesAt + notes.length;
  const places = all.map(({ bytes }) => {
    const place = at;
    at += Math.ceil(bytes.length / 8) * 8;
    return place;
  });
  const headersAt = Math.ceil(at / 8) * 8;
  const nrHeaders = all.length + 2;
  const pagesAt = Math.ceil((headersAt + nrHeaders * ELF64.shdr.size) / PAGE) * PAGE;
  const nameAt = (name: string) =>
    names.slice(0, names.indexOf(name)).reduce((sum, each) => sum + each.length + 1, 0);
  const header = (name: string, type: number, offset: number, size: number, entrySize: number) =>
    ELF64.shdr.create({
      ...{ sh_name: nameAt(name), sh_type: type, sh_offset: BigInt(offset), sh_size: BigInt(size) },
      ...{ sh_addralign: BigInt(name === '.xen_pages' ? PAGE : 1), sh_entsize: BigInt(entrySize) },
    });
  const head = Buffer.alloc(pagesAt);
  fileHeader(segments.length + 1, headersAt, nrHeaders).copy(head);
  Buffer.concat([
    noteSegment(notesAt, notes.length),
    ...segments.map((each) => loadSegment(each, pagesAt)),
  ]).copy(head, ELF64.ehdr.size);
  notes.copy(head, notesAt);
  for (const [i, { bytes }] of all.entries()) head.set(bytes, places[i]);
  Buffer.concat([
    Buffer.alloc(ELF64.shdr.size),
    ...all.map(({ name, type, entrySize, bytes }, i) =>
      header(name, type, places[i]!, bytes.length, entrySize),
    ),
    header('.xen_pages', SHT_PROGBITS, pagesAt, nrPages * PAGE, PAGE),
  ]).copy(head, headersAt);
  return { head, pagesAt };
}

function fileHeader(nrSegments: number, headersAt: number, nrHeaders: number): Buffer {
  return ELF64.ehdr.create({
    ...{ magic: ELF_MAGIC, ei_class: ELFCLASS64, ei_data: ELFDATA2LSB, ei_version: EV_CURRENT },
    ...{ e_type: ET_CORE, e_machine: EM_X86_64, e_version: EV_CURRENT },
    ...{ e_phoff: BigInt(ELF64.ehdr.size), e_shoff: BigInt(headersAt), e_ehsize: ELF64.ehdr.size },
    ...{ e_phentsize: ELF64.phdr.size, e_phnum: nrSegments },
    // The names come last but one, before the pages.
    ...{ e_shentsize: ELF64.shdr.size, e_shnum: nrHeaders, e_shstrndx: nrHeaders - 2 },
  });
}

function noteSegment(offset: number, size: number): Buffer {
  return ELF64.phdr.create({
    p_type: PT_NOTE,
    p_offset: BigInt(offset),
    p_filesz: BigInt(size),
    p_align: 4n,
  });
}

function loadSegment({ page, mfn, count, isWritable, isExecutable }: Segment, pagesAt: number): Buffer {
  const size = BigInt(count * PAGE);
  return ELF64.phdr.create({
    p_type: PT_LOAD,
    p_flags: PF_R | (isWritable ? PF_W : 0) | (isExecutable ? PF_X : 0),
    ...{ p_offset: BigInt(pagesAt + mfn * PAGE), p_vaddr: linearAddress(page), p_paddr: BigInt(mfn * PAGE) },
    ...{ p_filesz: size, p_memsz: size, p_align: BigInt(PAGE) },
  });
}
