/** What set_callbacks, callback_op, set_trap_table and nmi_op share: a vCPU's entry points (xen/arch/x86/pv/callback.c). */
import { FLAT_KERNEL_CS } from '../abi/arch-x86.js';
import {
  CALLBACKF_mask_events,
  CALLBACKTYPE_event,
  CALLBACKTYPE_failsafe,
  CALLBACKTYPE_nmi,
  CALLBACKTYPE_syscall,
} from '../abi/callback.js';
import { EINVAL, ENOSYS } from '../abi/errno.js';
import type { Vcpu } from '../domain/vcpu.js';
import { isCanonical } from './addresses.js';
import type { KernelEntry } from './registers.js';

const TRAP_nmi = 2;
/** TI_SET_IF: events are masked on entry. */
const TI_IF = 4;
/** struct trap_handler: an address, then cs, flags and a reserved word. */
const HANDLER_WORDS = 2;
const NR_VECTORS = 256;

/** One entry of the virtual IDT. A code selector below ring 3 is raised to it (fixup_guest_code_selector). */
export function setTrap(vcpu: Vcpu, vector: number, cs: number, flags: number, address: bigint): void {
  const traps = vcpu.area.words('traps');
  traps[vector * HANDLER_WORDS] = address;
  traps[vector * HANDLER_WORDS + 1] = BigInt(cs | 3 | (flags << 16));
}

export function clearTraps(vcpu: Vcpu): void {
  vcpu.area.words('traps').fill(0n, 0, NR_VECTORS * HANDLER_WORDS);
}

export function registerNmi(vcpu: Vcpu, address: bigint): number {
  if (!isCanonical(address)) return -EINVAL;
  setTrap(vcpu, TRAP_nmi, FLAT_KERNEL_CS, TI_IF, address);
  return 0;
}

export function trapEntry(vcpu: Vcpu, vector: number): KernelEntry {
  const traps = vcpu.area.words('traps');
  const flags = Number((traps[vector * HANDLER_WORDS + 1]! >> 16n) & 0xffffn);
  return { address: traps[vector * HANDLER_WORDS]!, maskEvents: (flags & TI_IF) !== 0 };
}

export function unregisterNmi(vcpu: Vcpu): void {
  vcpu.area.words('traps').fill(0n, TRAP_nmi * HANDLER_WORDS, (TRAP_nmi + 1) * HANDLER_WORDS);
}

/**
 * register_guest_callback. Entries for 32-bit syscall and sysenter do not exist: a kernel that is told so uses int 0x80
 * for its 32-bit programs.
 */
export function registerCallback(vcpu: Vcpu, type: number, flags: number, address: bigint): number {
  if (!isCanonical(address)) return -EINVAL;
  switch (type) {
    case CALLBACKTYPE_event:
      vcpu.area.set('event_callback', address);
      return 0;
    case CALLBACKTYPE_failsafe:
      vcpu.area.set('failsafe_callback', address);
      return 0;
    case CALLBACKTYPE_syscall:
      vcpu.area.set('syscall_callback', address);
      vcpu.area.setLow('syscall_flags', flags & CALLBACKF_mask_events);
      return 0;
    case CALLBACKTYPE_nmi:
      return registerNmi(vcpu, address);
    default:
      return -ENOSYS;
  }
}
