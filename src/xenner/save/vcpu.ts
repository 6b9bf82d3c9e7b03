/** A vCPU's state in a save file: what is not in guest memory. */
import { XennerError } from '../../base/errors.js';
import {
  CPU_STATE_WORDS,
  type CpuidEntry,
  type CpuState,
  decodeCpuState,
  encodeCpuState,
  FPU_STATE_BYTES,
  type Gpa,
  gpa,
} from '../../kvm/index.js';
import { vcpu_info, vcpu_time_info } from '../abi/xen.js';
import type { Machine } from '../domain/machine.js';
import type { VirtualCpu } from '../domain/virtual-cpu.js';
import { type EntryRegisters, entryRegisters } from '../monitor/initial-state.js';
import { PENDING_TIMER } from '../monitor/vcpu-area.js';
import { hex64, type Json, type Saved } from './saved.js';

const PAGE = 4096;
const ALIGN = 8;
const MAX_CPUID_ENTRIES = 256;

/** In the order of cpu-state.ts. */
function saveCpuState(state: CpuState): Json {
  return Array.from(encodeCpuState(state), hex64);
}

function restoreCpuState(saved: Saved): CpuState {
  const words = saved.tuple(CPU_STATE_WORDS).map((word) => word.u64());
  return decodeCpuState(BigUint64Array.from(words));
}

const ENTRY_REGISTERS = Object.keys(entryRegisters({})) as Array<keyof EntryRegisters>;

function saveRegisters(registers: EntryRegisters): Json {
  return Object.fromEntries(ENTRY_REGISTERS.map((name) => [name, hex64(registers[name])]));
}

function restoreRegisters(saved: Saved): EntryRegisters {
  return entryRegisters(Object.fromEntries(ENTRY_REGISTERS.map((name) => [name, saved.get(name).u64()])));
}

function restoreCpuid(saved: Saved): CpuidEntry[] {
  return saved.list(MAX_CPUID_ENTRIES).map((entry) => ({
    function: entry.get('function').u32(),
    index: entry.get('index').optional((index) => index.u32()),
    eax: entry.get('eax').u32(),
    ebx: entry.get('ebx').u32(),
    ecx: entry.get('ecx').u32(),
    edx: entry.get('edx').u32(),
  }));
}

/** A place in the guest's own memory that Xen writes to: within one page. */
function restorePlace(saved: Saved, nrPages: number, size: number): Gpa {
  const at = saved.int(0, nrPages * PAGE - size);
  if (at % ALIGN !== 0 || at % PAGE > PAGE - size) throw saved.wrong('within a page');
  return gpa(at);
}

/** Of a vCPU at rest. */
export function saveVcpu(vcpu: VirtualCpu): Json {
  const { startRegisters, nmi, timeArea } = vcpu;
  return {
    online: vcpu.online,
    started: vcpu.started,
    initialised: vcpu.initialised,
    startRegisters: startRegisters === undefined ? null : saveRegisters(startRegisters),
    vcpuInfo: vcpu.vcpuInfoMoved ? vcpu.vcpuInfo : null,
    timeArea: timeArea ?? null,
    nmi: { pending: nmi.pending, inHandler: nmi.inHandler, fastPaths: nmi.fastPaths },
    timers: vcpu.timers.save(),
    cpuid: vcpu.cpuid.map((entry) => ({ ...entry, index: entry.index ?? null })),
    cpu: vcpu.started ? saveCpuState(vcpu.engine.getState()) : null,
    fpu: Buffer.from(vcpu.engine.getFpu()).toString('base64'),
  };
}

/** Of a new one, in memory that was saved with it. @throws XennerError ESAVE_DAMAGED */
export function restoreVcpu(vcpu: VirtualCpu, saved: Saved, { nrPages, clock }: Machine): void {
  const started = saved.get('started').bool();
  const online = saved.get('online').bool();
  vcpu.cpuid = restoreCpuid(saved.get('cpuid'));
  vcpu.initialised = saved.get('initialised').bool();
  vcpu.startRegisters = saved.get('startRegisters').optional(restoreRegisters);
  if ((online && !started) || (vcpu.initialised && vcpu.startRegisters === undefined)) {
    throw saved.wrong('a vCPU that was started');
  }
  const moved = saved.get('vcpuInfo').optional((at) => restorePlace(at, nrPages, vcpu_info.size));
  vcpu.vcpuInfoMoved = moved !== undefined;
  vcpu.vcpuInfo = moved ?? vcpu.vcpuInfo;
  vcpu.timeArea = saved.get('timeArea').optional((at) => restorePlace(at, nrPages, vcpu_time_info.size));
  const nmi = saved.get('nmi');
  vcpu.nmi.pending = nmi.get('pending').bool();
  vcpu.nmi.inHandler = nmi.get('inHandler').bool();
  vcpu.nmi.fastPaths = nmi.get('fastPaths').u32();
  vcpu.timers.restore(saved.get('timers'));
  const fpu = saved.get('fpu').bytes(FPU_STATE_BYTES);
  if (fpu.length !== FPU_STATE_BYTES) throw saved.get('fpu').wrong(`${FPU_STATE_BYTES} bytes`);
  vcpu.engine.setFpu(fpu);
  if (started) restoreCpu(vcpu, saved.get('cpu'), clock.tscOffset);
  vcpu.restore(started, online);
  // On a local APIC, its timer is the monitor's to set.
  vcpu.addPending(PENDING_TIMER);
}

function restoreCpu({ engine }: VirtualCpu, saved: Saved, tscOffset: bigint): void {
  const state = { ...restoreCpuState(saved), tscOffset };
  try {
    // Not all of the words have 64 bits.
    encodeCpuState(state);
    engine.setState(state);
  } catch (cause) {
    const { message } = cause as Error;
    throw new XennerError('ESAVE_DAMAGED', `no CPU accepts what the save file says: ${message}`, undefined, {
      cause,
    });
  }
}
