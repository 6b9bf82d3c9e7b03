/** do_iret (xen/arch/x86/pv/iret.c). native/monitor/hypercall.c does the same for calls that it serves itself. */
import { gpa } from '../../kvm/guest-memory.js';
import { iret_context, VGCF_in_syscall } from '../abi/arch-x86.js';
import { SHUTDOWN_crash } from '../abi/sched.js';
import { __HYPERVISOR_iret, VMASST_TYPE_architectural_iopl, vcpu_info } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { regs } from '../monitor/vcpu-area.js';
import type { Hypercall } from './call.js';
import { trapEntry } from './callbacks.js';
import { nmiReturned } from './nmi.js';
import { bounce, registersOf, swapGs } from './registers.js';

type IretContext = ReturnType<typeof iret_context.decode>;
type Registers = ReturnType<typeof regs.decode>;

const UPCALL_MASK = vcpu_info.offsetof('evtchn_upcall_mask');
const EFLAGS_FIXED = 2n;
const EFLAGS_IF = 0x200n;
const EFLAGS_IOPL = 0x3000n;
const IOPL_SHIFT = 12n;
/** VM and IOPL are not the guest's to set. */
const EFLAGS_NOT_FROM_GUEST = 0x23000n;
const RPL = 3n;
const TRAP_gp_fault = 13;
const SELECTOR = 0xffffn;

function crash({ domain }: Vcpu): bigint {
  domain.shutdown(SHUTDOWN_crash);
  return 0n;
}

/** What the frame makes of the registers; those of the kernel's segments are the monitor's own. */
function returnTo(frame: IretContext, toUser: boolean): Partial<Registers> {
  const { rip, rsp } = frame;
  const rflags = (frame.rflags & ~EFLAGS_NOT_FROM_GUEST) | EFLAGS_IF | EFLAGS_FIXED;
  const bySysret = (frame.flags & BigInt(VGCF_in_syscall)) !== 0n;
  const [rcx, r11] = bySysret ? [rip, frame.rflags] : [frame.rcx, frame.r11];
  return {
    rip,
    rsp,
    rflags,
    rcx,
    r11,
    ...(toUser && { cs: frame.cs & SELECTOR, ss: (frame.ss & SELECTOR) | RPL }),
  };
}

function iretToGuest(vcpu: Vcpu): bigint {
  const { area, domain } = vcpu;
  const at = registersOf(vcpu);
  const registers = at === undefined ? undefined : regs.decode(domain.memory.copyOut(at, regs.size));
  const frame = registers && vcpu.guest.readStruct(iret_context, registers.rsp);
  if (at === undefined || frame === undefined) return crash(vcpu);
  const toUser = (frame.cs & RPL) === RPL;
  if (toUser && area.get('user_cr3') === 0n) return crash(vcpu);
  regs.encode(returnTo(frame, toUser), domain.memory.bytes(at, regs.size));
  if (((domain.vmAssist >> BigInt(VMASST_TYPE_architectural_iopl)) & 1n) !== 0n)
    area.set('iopl', (frame.rflags & EFLAGS_IOPL) >> IOPL_SHIFT);
  domain.memory.writeU8(gpa(vcpu.vcpuInfo + UPCALL_MASK), (frame.rflags & EFLAGS_IF) === 0n ? 1 : 0);
  if (toUser) {
    area.setLow('user', 1);
    swapGs(vcpu);
  } else {
    area.set('kernel_ss', (frame.ss & SELECTOR) | RPL);
    // A guest kernel is in ring 3 on Xen, where ss cannot be null.
    if ((frame.ss & SELECTOR & ~RPL) === 0n && !bounce(vcpu, trapEntry(vcpu, TRAP_gp_fault), 0n))
      return crash(vcpu);
  }
  nmiReturned(vcpu);
  return frame.rax;
}

export const iret: Hypercall = {
  number: __HYPERVISOR_iret,
  name: 'iret',
  handler: iretToGuest,
};
