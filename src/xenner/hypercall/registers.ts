/** The registers that a hypercall returns to, where the monitor's entry code put them. */
import { type Gpa, gpa } from '../../kvm/guest-memory.js';
import { vcpu_info } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { addressOk } from '../mm/guest-list.js';
import * as monitor from '../monitor/vcpu-area.js';

const UPCALL_MASK = vcpu_info.offsetof('evtchn_upcall_mask');
const EFLAGS_IF = 0x200n;
const EFLAGS_FIXED = 2n;
const EFLAGS_IOPL = 0x3000n;
/** AC VM RF NT TF DF and IOPL: create_bounce_frame (xen/arch/x86/x86_64/entry.S). */
const EFLAGS_NOT_FOR_KERNEL = 0x67500n;
const WORD_BYTES = 8;
const SAVED_UPCALL_MASK_SHIFT = 32n;

/** Where the frame is, if what the monitor's area says can be true: on this vCPU's own stack. */
export function registersOf({ area, id }: Vcpu): Gpa | undefined {
  const offset = Number(area.get('registers')) - monitor.blockOffset(id);
  const lowest = monitor.BLOCK_VCPU_AREA + monitor.vcpu_area.size;
  const highest = monitor.BLOCK_STACK_TOP - monitor.regs.size;
  if (offset % WORD_BYTES !== 0 || offset < lowest || offset > highest) return undefined;
  return gpa(area.gpa - monitor.BLOCK_VCPU_AREA + offset);
}

/** The guest crosses between user and kernel on its way out. */
export function swapGs({ area }: Vcpu): void {
  area.setLow('pending', (area.low('pending') ^ monitor.PENDING_SWAPGS) >>> 0);
}

/** A way into the guest's kernel; an address of 0 is none. */
export interface KernelEntry {
  readonly address: bigint;
  readonly maskEvents: boolean;
}

/**
 * The guest goes on in its kernel, with a frame to return by on the kernel's stack: bounce() of native/monitor/traps.c.
 * False if there is no such entry or the stack cannot take the frame: the guest has to crash.
 */
export function bounce(vcpu: Vcpu, entry: KernelEntry, errorCode?: bigint): boolean {
  const { area, domain } = vcpu;
  const at = registersOf(vcpu);
  if (at === undefined || entry.address === 0n) return false;
  const r = monitor.regs.decode(domain.memory.copyOut(at, monitor.regs.size));
  const user = area.low('user') !== 0;
  const maskAt = gpa(vcpu.vcpuInfo + UPCALL_MASK);
  const masked = domain.memory.readU8(maskAt) !== 0;
  const frame = BigUint64Array.from([
    r.rcx,
    r.r11,
    ...(errorCode === undefined ? [] : [errorCode]),
    r.rip,
    (user ? r.cs : BigInt(monitor.SEL_SHOWN_KERNEL_CS)) | ((masked ? 1n : 0n) << SAVED_UPCALL_MASK_SHIFT),
    (r.rflags & ~(EFLAGS_IF | EFLAGS_IOPL)) | (masked ? 0n : EFLAGS_IF),
    r.rsp,
    user ? r.ss : area.get('kernel_ss'),
  ]);
  const stack = (user ? area.get('kernel_sp') : r.rsp) & ~15n;
  const rsp = BigInt.asUintN(64, stack - BigInt(frame.byteLength));
  if (!addressOk(rsp) || !vcpu.guest.write(rsp, new Uint8Array(frame.buffer))) return false;
  const changed = {
    rip: entry.address,
    rsp,
    rflags: (r.rflags & ~EFLAGS_NOT_FOR_KERNEL) | EFLAGS_IF | EFLAGS_FIXED,
    cs: BigInt(monitor.SEL_KERNEL_CS),
    ss: BigInt(monitor.SEL_KERNEL_SS),
  };
  monitor.regs.encode(changed, domain.memory.bytes(at, monitor.regs.size));
  if (user) {
    area.setLow('user', 0);
    swapGs(vcpu);
  }
  if (entry.maskEvents) domain.memory.writeU8(maskAt, 1);
  area.setLow('kernel_ss', monitor.SEL_SHOWN_KERNEL_SS);
  return true;
}
