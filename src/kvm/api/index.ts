/**
 * `xenner/kvm`: KVM for those who write their own guests. Kvm makes a KvmVm, which gets memory and vCPUs; a KvmVcpu gets
 * registers and runs; each of its exits is a KvmExit. See examples/kvm-*.mjs.
 */
export { XennerError } from '../../base/errors.js';
export { kick as kickVcpu } from '../engine.js';
export { type Gpa, GuestMemory, GuestMemoryError, gpa } from '../guest-memory.js';
export type { GuestMemoryOptions } from '../guest-memory-backing.js';
export * from '../uapi/caps.js';
export * from '../uapi/exits.js';
export * from '../uapi/regs.js';
export * from '../uapi/vcpu.js';
export * from '../uapi/vm.js';
export { EventFd } from './event-fd.js';
export type {
  KvmAnswer,
  KvmExit,
  KvmExitOf,
  KvmExitReason,
  KvmIoExit,
  KvmMmioExit,
  KvmUnnamedExit,
} from './exits.js';
export type { GsiRoute } from './gsi-routing.js';
export { Kvm } from './kvm.js';
export { KvmVcpu } from './vcpu.js';
export { type IoEvent, KvmVm, type MemorySlot, type MsrFilterRange } from './vm.js';
