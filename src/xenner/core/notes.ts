/**
 * What a core says of the guest besides its memory: Xen's notes and vCPU contexts (docs/misc/dump-core-format.txt of Xen,
 * tools/libs/ctrl/xc_core.h), and for GDB the registers as Linux's cores have them (struct elf_prstatus of linux/elfcore.h).
 */
import { bytes, cstring, cstruct, group, pad, u32, u64 } from '../../base/layout.js';
import { HYPERVISOR_VIRT_START, VGCF_IN_KERNEL, VGCF_online, vcpu_guest_context } from '../abi/arch-x86.js';
import {
  XEN_CAPABILITIES_INFO_LEN,
  XEN_CHANGESET_INFO_LEN,
  XEN_EXTRAVERSION_LEN,
  xen_compile_info,
} from '../abi/version.js';
import type { VirtualCpu } from '../domain/virtual-cpu.js';
import { readRegisters } from '../gdb/guest-registers.js';
import type { RegisterValues } from '../gdb/registers.js';
import type { AbiProfile } from '../profile/abi-profile.js';

const PAGE = 4096;
/** Of the notes named Xen (public/elfnote.h). */
const XEN_ELFNOTE_DUMPCORE_NONE = 0x2000000;
const XEN_ELFNOTE_DUMPCORE_HEADER = 0x2000001;
const XEN_ELFNOTE_DUMPCORE_XEN_VERSION = 0x2000002;
const XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION = 0x2000003;
const XC_CORE_MAGIC = 0xf00febedn;
const FORMAT_VERSION = 1n;
/** Of the notes named CORE (linux/elf.h). */
const NT_PRSTATUS = 1;
const SIGNAL_NONE = 0;
const FPU_BYTES = 512;

const elf_note = cstruct('Elf64_Nhdr', 'elf.h', 12, { n_namesz: u32, n_descsz: u32, n_type: u32 });
const header_desc = cstruct('struct xen_dumpcore_elfnote_header_desc', 'xc_core.h', 32, {
  xch_magic: u64,
  xch_nr_vcpus: u64,
  xch_nr_pages: u64,
  xch_page_size: u64,
});
const version_desc = cstruct('struct xen_dumpcore_elfnote_xen_version_desc', 'xc_core.h', 1280, {
  major_version: u64,
  minor_version: u64,
  extra_version: cstring(XEN_EXTRAVERSION_LEN),
  compile_info: bytes(xen_compile_info.size),
  capabilities: cstring(XEN_CAPABILITIES_INFO_LEN),
  changeset: cstring(XEN_CHANGESET_INFO_LEN),
  virt_start: u64,
  pagesize: u64,
});
const format_desc = cstruct('struct xen_dumpcore_elfnote_format_version_desc', 'xc_core.h', 8, {
  version: u64,
});

/** struct user_regs_struct of asm/user_64.h, whose orig_rax says that no system call is under way. */
const pr_reg = group({
  ...{ r15: u64, r14: u64, r13: u64, r12: u64, rbp: u64, rbx: u64, r11: u64, r10: u64, r9: u64, r8: u64 },
  ...{ rax: u64, rcx: u64, rdx: u64, rsi: u64, rdi: u64, orig_rax: u64, rip: u64, cs: u64, eflags: u64 },
  ...{ rsp: u64, ss: u64, fs_base: u64, gs_base: u64, ds: u64, es: u64, fs: u64, gs: u64 },
});
const elf_prstatus = cstruct('struct elf_prstatus', 'linux/elfcore.h', 336, {
  si_signo: u32,
  before_pid: pad(28),
  pr_pid: u32,
  before_reg: pad(76),
  pr_reg,
  pr_fpvalid: u32,
  after: pad(4),
});

function note(name: string, type: number, desc: Uint8Array): Buffer {
  const words = (length: number) => Math.ceil(length / 4) * 4;
  const all = Buffer.alloc(elf_note.size + words(name.length + 1) + words(desc.length));
  elf_note.encode({ n_namesz: name.length + 1, n_descsz: desc.length, n_type: type }, all);
  all.write(name, elf_note.size, 'latin1');
  all.set(desc, elf_note.size + words(name.length + 1));
  return all;
}

/** The section .note.Xen. */
export function xenNotes({ xen }: AbiProfile, nrVcpus: number, nrPages: number): Buffer {
  const header = header_desc.create({
    xch_magic: XC_CORE_MAGIC,
    xch_nr_vcpus: BigInt(nrVcpus),
    xch_nr_pages: BigInt(nrPages),
    xch_page_size: BigInt(PAGE),
  });
  const version = version_desc.create({
    major_version: BigInt(xen.major),
    minor_version: BigInt(xen.minor),
    extra_version: xen.extraversion,
    compile_info: xen_compile_info.create(xen.compileInfo),
    capabilities: xen.capabilities,
    changeset: xen.changeset,
    virt_start: HYPERVISOR_VIRT_START,
    pagesize: BigInt(PAGE),
  });
  return Buffer.concat([
    note('Xen', XEN_ELFNOTE_DUMPCORE_NONE, new Uint8Array(0)),
    note('Xen', XEN_ELFNOTE_DUMPCORE_HEADER, header),
    note('Xen', XEN_ELFNOTE_DUMPCORE_XEN_VERSION, version),
    note('Xen', XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION, format_desc.create({ version: FORMAT_VERSION })),
  ]);
}

/** A vCPU whose state the engine has: none that was never started, nor one that the engine has lost. */
export interface CoreVcpu {
  readonly id: number;
  readonly online: boolean;
  readonly inKernel: boolean;
  readonly registers: RegisterValues | undefined;
  readonly fpu: Uint8Array;
}

export function coreVcpu(vcpu: VirtualCpu): CoreVcpu {
  const none = {
    id: vcpu.id,
    online: vcpu.online,
    inKernel: true,
    registers: undefined,
    fpu: new Uint8Array(0),
  };
  if (!vcpu.started) return none;
  try {
    const [registers, fpu] = [readRegisters(vcpu), vcpu.engine.getFpu().subarray(0, FPU_BYTES)];
    return { ...none, inKernel: vcpu.area.low('user') === 0, registers, fpu };
  } catch {
    return none;
  }
}

/** GDB's threads, numbered as vCPUs from 1 on. */
export function prStatus(vcpus: readonly CoreVcpu[]): Buffer {
  const notes = vcpus.flatMap(({ id, registers }) => {
    if (registers === undefined) return [];
    const pr_reg = { ...registers, orig_rax: 2n ** 64n - 1n } as never;
    return [
      note('CORE', NT_PRSTATUS, elf_prstatus.create({ si_signo: SIGNAL_NONE, pr_pid: id + 1, pr_reg })),
    ];
  });
  return Buffer.concat(notes);
}

/** One of the section .xen_prstatus: what Xen's XEN_DOMCTL_getvcpucontext tells that is ours to know. */
export function guestContext({ online, inKernel, registers, fpu }: CoreVcpu): Buffer {
  const flags = BigInt((inKernel ? VGCF_IN_KERNEL : 0) | (online ? VGCF_online : 0));
  if (registers === undefined) return vcpu_guest_context.create({ flags: BigInt(online ? VGCF_online : 0) });
  const value = (name: string) => registers[name] ?? 0n;
  const selector = (name: string) => Number(value(name) & 0xffffn);
  const general = Object.fromEntries(
    [
      'rbp',
      'rbx',
      'rax',
      'rcx',
      'rdx',
      'rsi',
      'rdi',
      'rip',
      'rsp',
      'r8',
      'r9',
      'r10',
      'r11',
      'r12',
      'r13',
      'r14',
      'r15',
    ].map((name) => [name, value(name)]),
  );
  const selectors = Object.fromEntries(
    ['cs', 'ss', 'ds', 'es', 'fs', 'gs'].map((name) => [name, selector(name)]),
  );
  return vcpu_guest_context.create({
    flags,
    fpu_ctxt: { x: Buffer.concat([fpu], FPU_BYTES) },
    user_regs: { ...general, ...selectors, rflags: value('eflags') } as never,
    ctrlreg: [value('cr0'), 0n, value('cr2'), value('cr3'), value('cr4'), 0n, 0n, 0n],
    fs_base: value('fs_base'),
    gs_base_kernel: inKernel ? value('gs_base') : value('k_gs_base'),
    gs_base_user: inKernel ? value('k_gs_base') : value('gs_base'),
  });
}
