/** A vCPU's state in KVM's structures. */
import type { KvmVcpu } from './api/vcpu.js';
import type { CpuState, Segment, TableRegister } from './cpu-state.js';
import { FPU_STATE_BYTES } from './cpu-state.js';
import type { KvmDtable, KvmRegs, KvmSegment, KvmSregs } from './uapi/regs.js';

const MSR = {
  star: 0xc0000081,
  lstar: 0xc0000082,
  cstar: 0xc0000083,
  sfmask: 0xc0000084,
  kernelGsBase: 0xc0000102,
  pat: 0x277,
} as const;
type MsrName = keyof typeof MSR;
const MSR_NAMES = Object.keys(MSR) as MsrName[];

const GENERAL = [
  ...(['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp', 'rbp'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip', 'rflags'] as const),
] as const;

/** A segment's flags are its descriptor's upper dword: type, S, DPL and P in bits 8..15, AVL, L, D/B and G in 20..23. */
function kvmSegment({ selector, base, limit, flags }: Segment): Omit<KvmSegment, 'padding'> {
  const bit = (n: number) => (flags >>> n) & 1;
  const present = bit(15);
  return {
    base,
    limit,
    selector,
    type: (flags >>> 8) & 0xf,
    s: bit(12),
    dpl: (flags >>> 13) & 3,
    present,
    avl: bit(20),
    l: bit(21),
    db: bit(22),
    g: bit(23),
    unusable: present === 0 ? 1 : 0,
  };
}

function segment(s: KvmSegment): Segment {
  const access = s.type | (s.s << 4) | (s.dpl << 5) | (s.present << 7);
  const flags = (access << 8) | (s.avl << 20) | (s.l << 21) | (s.db << 22) | (s.g << 23);
  return { selector: s.selector, base: s.base, limit: s.limit, flags };
}

const kvmTable = ({ base, limit }: TableRegister) => ({ base, limit });
const table = ({ base, limit }: KvmDtable): TableRegister => ({ base, limit });

export function setCpuState(vcpu: KvmVcpu, state: CpuState): void {
  vcpu.setRegs(Object.fromEntries(GENERAL.map((name) => [name, state[name]])) as unknown as KvmRegs);
  vcpu.setSregs({
    es: kvmSegment(state.es),
    cs: kvmSegment(state.cs),
    ss: kvmSegment(state.ss),
    ds: kvmSegment(state.ds),
    fs: kvmSegment(state.fs),
    gs: kvmSegment(state.gs),
    ldt: kvmSegment(state.ldtr),
    tr: kvmSegment(state.tr),
    gdt: kvmTable(state.gdt),
    idt: kvmTable(state.idt),
    cr0: state.cr0,
    cr2: state.cr2,
    cr3: state.cr3,
    cr4: state.cr4,
    efer: state.efer,
  });
  vcpu.setMsrs(MSR_NAMES.map((name) => ({ index: MSR[name], data: state[name] })));
  vcpu.setDebugregs({
    db: [state.dr0, state.dr1, state.dr2, state.dr3],
    dr6: state.dr6,
    dr7: state.dr7,
  });
  vcpu.setTscOffset(state.tscOffset);
}

export function getCpuState(vcpu: KvmVcpu): CpuState {
  const regs = vcpu.getRegs();
  const sregs: KvmSregs = vcpu.getSregs();
  const debug = vcpu.getDebugregs();
  const msrs = new Map(vcpu.getMsrs(Object.values(MSR)).map(({ index, data }) => [index, data]));
  const ofMsr = Object.fromEntries(MSR_NAMES.map((name) => [name, msrs.get(MSR[name]) ?? 0n])) as Record<
    MsrName,
    bigint
  >;
  const general = Object.fromEntries(GENERAL.map((name) => [name, regs[name]])) as unknown as KvmRegs;
  const { cr0, cr2, cr3, cr4, efer } = sregs;
  return {
    ...general,
    ...{ cr0, cr2, cr3, cr4, efer },
    ...ofMsr,
    es: segment(sregs.es),
    cs: segment(sregs.cs),
    ss: segment(sregs.ss),
    ds: segment(sregs.ds),
    fs: segment(sregs.fs),
    gs: segment(sregs.gs),
    ldtr: segment(sregs.ldt),
    tr: segment(sregs.tr),
    gdt: table(sregs.gdt),
    idt: table(sregs.idt),
    ...{ dr0: debug.db[0]!, dr1: debug.db[1]!, dr2: debug.db[2]!, dr3: debug.db[3]! },
    dr6: debug.dr6,
    dr7: debug.dr7,
    xcr0: 1n,
    tscOffset: vcpu.getTscOffset(),
  };
}

/* In the XSAVE area, which begins with FXSAVE's (Intel SDM vol. 1, 13.4). */
const MXCSR = 24;
const MXCSR_MASK = 28;
const XSTATE_BV = 512;
const XSTATE_X87_AND_SSE = 3n;
/** Bits of MXCSR where its mask says nothing. */
const MXCSR_DEFAULT_MASK = 0xffbf;

/** Not KVM_GET_FPU: KVM_SET_FPU sets no MXCSR, and nothing at all where the CPU finds the state marked as its initial one. */
export function getFpuState(vcpu: KvmVcpu): Uint8Array {
  return vcpu.getXsave().slice(0, FPU_STATE_BYTES);
}

export function setFpuState(vcpu: KvmVcpu, state: Uint8Array): void {
  const area = vcpu.getXsave();
  const view = new DataView(area.buffer, area.byteOffset);
  const mask = view.getUint32(MXCSR_MASK, true) || MXCSR_DEFAULT_MASK;
  area.set(state);
  view.setUint32(MXCSR, view.getUint32(MXCSR, true) & mask, true);
  view.setUint32(MXCSR_MASK, mask, true);
  view.setBigUint64(XSTATE_BV, view.getBigUint64(XSTATE_BV, true) | XSTATE_X87_AND_SSE, true);
  vcpu.setXsave(area);
}
