/** A stopped vCPU's registers: in the monitor's frame once it is in the monitor, which it is wherever it stopped or sleeps. */
import { type CpuState, gpa } from '../../kvm/index.js';
import type { VirtualCpu } from '../domain/virtual-cpu.js';
import { registersOf } from '../hypercall/registers.js';
import { PENDING_FS_BASE, PENDING_GS_BASE_KERNEL, PENDING_GS_BASE_USER, regs } from '../monitor/vcpu-area.js';
import { fpuRegisters, isFpuRegister, setFpuRegister } from './fpu-registers.js';
import type { RegisterValues } from './registers.js';

type Frame = ReturnType<typeof regs.decode>;

const GENERAL = [
  ...(['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip'] as const),
] as const;
/** What a guest may have in its flags besides what is always so: not VM, not IOPL. */
const EFLAGS_WRITABLE = 0x254dd5n;
const DPL_SHIFT = 13;

/** Bases wait in the vCPU area for the monitor, which loads them on the way back. */
const BASES = {
  fs_base: ['fs_base', PENDING_FS_BASE],
  gs_base: ['gs_base_kernel', PENDING_GS_BASE_KERNEL],
  k_gs_base: ['gs_base_user', PENDING_GS_BASE_USER],
} as const;

/** Where the frame is, if the vCPU is in the monitor. */
function frameOf(vcpu: VirtualCpu, state: CpuState) {
  return ((state.ss.flags >>> DPL_SHIFT) & 3) === 0 ? registersOf(vcpu) : undefined;
}

function load(vcpu: VirtualCpu, at: number): Frame {
  return regs.decode(vcpu.domain.memory.copyOut(gpa(at), regs.size));
}

function store(vcpu: VirtualCpu, at: number, frame: Partial<Frame>): void {
  regs.encode(frame, vcpu.domain.memory.bytes(gpa(at), regs.size));
}

export function readRegisters(vcpu: VirtualCpu): RegisterValues {
  const state = vcpu.engine.getState();
  const at = frameOf(vcpu, state);
  const frame = at === undefined ? undefined : load(vcpu, at);
  const general = frame ?? state;
  return {
    ...Object.fromEntries(GENERAL.map((name) => [name, general[name]])),
    eflags: general.rflags,
    cs: frame?.cs ?? BigInt(state.cs.selector),
    ss: frame?.ss ?? BigInt(state.ss.selector),
    ds: BigInt(state.ds.selector),
    es: BigInt(state.es.selector),
    fs: BigInt(state.fs.selector),
    gs: BigInt(state.gs.selector),
    fs_base: state.fs.base,
    gs_base: state.gs.base,
    k_gs_base: state.kernelGsBase,
    cr0: state.cr0,
    cr2: vcpu.area.get('cr2'),
    cr3: vcpu.area.get('cr3'),
    cr4: state.cr4,
    efer: state.efer,
    ...fpuRegisters(vcpu.engine.getFpu()),
  };
}

/** False if one of them could not be written: selectors and control registers are the guest's own to change. */
export function writeRegisters(vcpu: VirtualCpu, values: RegisterValues): boolean {
  const at = frameOf(vcpu, vcpu.engine.getState());
  if (at === undefined) return false;
  const changes: Record<string, bigint> = {};
  const fpu = vcpu.engine.getFpu();
  let all = true;
  for (const [name, value] of Object.entries(values)) {
    if ((GENERAL as readonly string[]).includes(name)) changes[name] = value;
    else if (name === 'eflags') changes.rflags = mergeFlags(load(vcpu, at).rflags, value);
    else if (name in BASES) writeBase(vcpu, name as keyof typeof BASES, value);
    else if (!isFpuRegister(name) || !setFpuRegister(fpu, name, value)) all = false;
  }
  store(vcpu, at, changes);
  if (Object.keys(values).some(isFpuRegister)) vcpu.engine.setFpu(fpu);
  return all;
}

function mergeFlags(old: bigint, value: bigint): bigint {
  return (old & ~EFLAGS_WRITABLE) | (value & EFLAGS_WRITABLE);
}

function writeBase(vcpu: VirtualCpu, name: keyof typeof BASES, value: bigint): void {
  const [field, pending] = BASES[name];
  // WRMSR of an address that is not canonical faults, in the monitor.
  if (BigInt.asIntN(48, value) !== BigInt.asIntN(64, value)) return;
  vcpu.area.set(field, value);
  vcpu.addPending(pending);
}

/** Where the guest goes on, and its flags; undefined for a vCPU that is not in the monitor. */
export function frameOfStopped(vcpu: VirtualCpu): { rip: bigint; rsp: bigint; rflags: bigint } | undefined {
  const at = registersOf(vcpu);
  return at === undefined ? undefined : load(vcpu, at);
}

export function setFlags(vcpu: VirtualCpu, rflags: bigint): void {
  const at = registersOf(vcpu);
  if (at !== undefined) store(vcpu, at, { rflags });
}
