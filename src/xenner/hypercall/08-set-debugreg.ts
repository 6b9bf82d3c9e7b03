/** do_set_debugreg (xen/arch/x86/pv/misc-hypercalls.c). */
import { EINVAL, ENODEV, EPERM } from '../abi/errno.js';
import { __HYPERVISOR_set_debugreg } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { addressOk } from '../mm/guest-list.js';
import { PENDING_DEBUGREGS } from '../monitor/vcpu-area.js';
import type { Hypercall } from './call.js';

/* xen/arch/x86/include/asm/debugreg.h */
const DR_STATUS_RESERVED_ZERO = 0x1000;
const DR_STATUS_RESERVED_ONE = 0xffff0ff0;
const DR_CONTROL_RESERVED_ZERO = 0xd800;
const DR_CONTROL_RESERVED_ONE = 0x400;
const DR_GENERAL_DETECT = 0x2000;
const DR7_ACTIVE_MASK = 0xff;
const DR_CONTROL_SHIFT = 16;
const DR_CONTROL_SIZE = 4;
const DR_IO = 2;
const X86_CR4_DE = 8;
/** Where DR7's bits for I/O breakpoints are kept, which the CPU must not see: no other use for DR5. */
export const DR7_EMULATED = 5;

/** With CR4.DE set the names DR4 and DR5 are gone; otherwise they are other names of DR6 and DR7. */
export function debugExtensions(vcpu: Vcpu): boolean {
  return (vcpu.area.low('cr4') & X86_CR4_DE) !== 0;
}

/** Bits of DR7 that enable an I/O breakpoint, or -EPERM where the guest may have none. */
function ioEnables(vcpu: Vcpu, value: number): number {
  let enables = 0;
  for (let shift = DR_CONTROL_SHIFT; shift < 32; shift += DR_CONTROL_SIZE) {
    if (((value >>> shift) & 3) !== DR_IO) continue;
    if (!debugExtensions(vcpu)) return -EPERM;
    enables |= value & (3 << ((shift - DR_CONTROL_SHIFT) >>> 1));
  }
  return enables;
}

function setControl(vcpu: Vcpu, low: number): number {
  const value = ((low & ~DR_CONTROL_RESERVED_ZERO) | DR_CONTROL_RESERVED_ONE) >>> 0;
  if ((value & DR_GENERAL_DETECT) !== 0) return -EPERM;
  const emulated = (value & DR7_ACTIVE_MASK) === 0 ? 0 : ioEnables(vcpu, value);
  if (emulated < 0) return emulated;
  const registers = vcpu.area.words('dr');
  registers[DR7_EMULATED] = BigInt(emulated);
  registers[7] = BigInt((value & ~emulated) >>> 0);
  vcpu.addPending(PENDING_DEBUGREGS);
  return 0;
}

/** 0, or an errno; also what a mov to a debug register comes to. */
export function writeDebugreg(vcpu: Vcpu, register: number, value: bigint): number {
  if (register >= 0 && register <= 3) {
    if (!addressOk(value)) return -EPERM;
    vcpu.area.words('dr')[register] = value;
    vcpu.addPending(PENDING_DEBUGREGS);
    return 0;
  }
  if (register < 4 || register > 7) return -ENODEV;
  if (register <= 5 && debugExtensions(vcpu)) return -ENODEV;
  if (value > 0xffffffffn) return -EINVAL;
  const low = Number(value);
  if (register === 5 || register === 7) return setControl(vcpu, low);
  vcpu.area.words('dr')[6] = BigInt(((low & ~DR_STATUS_RESERVED_ZERO) | DR_STATUS_RESERVED_ONE) >>> 0);
  return 0;
}

export const set_debugreg: Hypercall = {
  number: __HYPERVISOR_set_debugreg,
  name: 'set_debugreg',
  handler: (vcpu, args) => writeDebugreg(vcpu, args.s32(0), args.u64(1)),
};
