/** The registers of the guest that makes a hypercall, where the monitor's entry code put them. */
import { type Gpa, gpa } from '../../kvm/guest-memory.js';
import { FLAT_KERNEL_CS } from '../abi/arch-x86.js';
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
const SHOWN_CS = BigInt(FLAT_KERNEL_CS & ~3);
const SAVED_UPCALL_MASK_SHIFT = 32n;

/** Where the frame is, if what the monitor's area says can be true: on this vCPU's own stack. */
export function registersOf({ area, id }: Vcpu): Gpa | undefined {
  const offset = Number(area.get('registers')) - monitor.blockOffset(id);
  const lowest = monitor.BLOCK_VCPU_AREA + monitor.vcpu_area.size;
  const highest = monitor.BLOCK_STACK_TOP - monitor.regs.size;
  if (offset % WORD_BYTES !== 0 || offset < lowest || offset > highest) return undefined;
  return gpa(area.gpa - monitor.BLOCK_VCPU_AREA + offset);
}

/**
 * The kernel that makes this call goes on in `handler`, with a frame to return by on its stack; native/monitor/traps.c
 * holds the same. False if the stack cannot take it.
 */
export function bounceToKernel(vcpu: Vcpu, handler: bigint, maskEvents: boolean): boolean {
  const { area, domain } = vcpu;
  const at = registersOf(vcpu);
  if (at === undefined) return false;
  const r = monitor.regs.decode(domain.memory.copyOut(at, monitor.regs.size));
  const maskAt = gpa(vcpu.vcpuInfo + UPCALL_MASK);
  const masked = domain.memory.readU8(maskAt) !== 0;
  const frame = BigUint64Array.of(
    r.rcx,
    r.r11,
    r.rip,
    SHOWN_CS | ((masked ? 1n : 0n) << SAVED_UPCALL_MASK_SHIFT),
    (r.rflags & ~(EFLAGS_IF | EFLAGS_IOPL)) | (masked ? 0n : EFLAGS_IF),
    r.rsp,
    area.get('kernel_ss'),
  );
  const rsp = BigInt.asUintN(64, (r.rsp & ~15n) - BigInt(frame.byteLength));
  if (!addressOk(rsp) || !vcpu.guest.write(rsp, new Uint8Array(frame.buffer))) return false;
  const rflags = (r.rflags & ~EFLAGS_NOT_FOR_KERNEL) | EFLAGS_IF | EFLAGS_FIXED;
  monitor.regs.encode({ rip: handler, rsp, rflags }, domain.memory.bytes(at, monitor.regs.size));
  if (maskEvents) domain.memory.writeU8(maskAt, 1);
  area.setLow('kernel_ss', monitor.SEL_SHOWN_KERNEL_SS);
  return true;
}
