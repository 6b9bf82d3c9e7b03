/** do_iret (xen/arch/x86/pv/iret.c). native/monitor/hypercall.c does the same for calls that it serves itself. */
import { gpa } from '../../kvm/guest-memory.js';
import { iret_context, VGCF_in_syscall } from '../abi/arch-x86.js';
import { SHUTDOWN_crash } from '../abi/sched.js';
import { __HYPERVISOR_iret, VMASST_TYPE_architectural_iopl, vcpu_info } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { PENDING_SWAPGS, regs } from '../monitor/vcpu-area.js';
import type { Hypercall } from './call.js';
import { registersOf } from './registers.js';

const UPCALL_MASK = vcpu_info.offsetof('evtchn_upcall_mask');
const EFLAGS_FIXED = 2n;
const EFLAGS_IF = 0x200n;
const EFLAGS_IOPL = 0x3000n;
const IOPL_SHIFT = 12n;
/** VM, NT and IOPL are not the guest's to set. */
const EFLAGS_NOT_FROM_GUEST = 0x27000n;
const RPL_USER = 3n;
const SELECTOR = 0xffffn;

function iretToGuest(vcpu: Vcpu): bigint {
  const { area, domain } = vcpu;
  const at = registersOf(vcpu);
  const registers = at === undefined ? undefined : regs.decode(domain.memory.copyOut(at, regs.size));
  const frame = registers && vcpu.guest.readStruct(iret_context, registers.rsp);
  if (at === undefined || frame === undefined) {
    domain.shutdown(SHUTDOWN_crash);
    return 0n;
  }
  const toUser = (frame.cs & RPL_USER) === RPL_USER;
  const restored = (frame.flags & BigInt(VGCF_in_syscall)) === 0n;
  const changed = {
    r11: restored ? frame.r11 : frame.rflags,
    rcx: restored ? frame.rcx : frame.rip,
    rip: frame.rip,
    rflags: (frame.rflags & ~EFLAGS_NOT_FROM_GUEST) | EFLAGS_IF | EFLAGS_FIXED,
    rsp: frame.rsp,
    ...(toUser && { cs: frame.cs & SELECTOR, ss: frame.ss & SELECTOR }),
  };
  regs.encode(changed, domain.memory.bytes(at, regs.size));
  if (toUser) {
    area.setLow('user', 1);
    area.setLow('pending', (area.low('pending') ^ PENDING_SWAPGS) >>> 0);
  } else {
    area.set('kernel_ss', frame.ss & SELECTOR);
  }
  if (((domain.vmAssist >> BigInt(VMASST_TYPE_architectural_iopl)) & 1n) !== 0n)
    area.set('iopl', (frame.rflags & EFLAGS_IOPL) >> IOPL_SHIFT);
  const masked = (frame.rflags & EFLAGS_IF) === 0n;
  domain.memory.writeU8(gpa(vcpu.vcpuInfo + UPCALL_MASK), masked ? 1 : 0);
  return frame.rax;
}

export const iret: Hypercall = {
  number: __HYPERVISOR_iret,
  name: 'iret',
  handler: iretToGuest,
};
