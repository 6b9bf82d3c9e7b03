/** VCPUOP_initialise: arch_set_info_guest (xen/arch/x86/domain.c) for a vCPU that never ran. */
import {
  VGCF_IN_KERNEL,
  VGCF_online,
  VGCF_syscall_disables_events,
  vcpu_guest_context,
} from '../abi/arch-x86.js';
import { CALLBACKF_mask_events } from '../abi/callback.js';
import { EEXIST, EFAULT, EINVAL } from '../abi/errno.js';
import type { Vcpu } from '../domain/vcpu.js';
import { newUserBaseptr } from '../mm/base-pointer.js';
import { setGdt } from '../mm/gdt.js';
import { addressOk } from '../mm/guest-list.js';
import { PENDING_LDT, PGT_l4_page_table, SEL_SHOWN_KERNEL_SS } from '../monitor/vcpu-area.js';
import { writeDebugreg } from './08-set-debugreg.js';
import { isCanonical } from './addresses.js';
import { setTrap } from './callbacks.js';

type Context = ReturnType<typeof vcpu_guest_context.decode>;

const PAGE_MASK = 0xfffn;
const MAX_LDT_ENTRIES = 8192n;
const EFLAGS_IOPL = 0x3000n;
const IOPL_SHIFT = 12n;
const X86_CR0_TS = 8n;
const RPL = 3;
const PAGE_SHIFT = 12n;

function addressesAllowed(c: Context): boolean {
  const addresses = [
    c.user_regs.rip,
    c.user_regs.rsp,
    c.kernel_sp,
    c.ldt_ents === 0n ? 0n : c.ldt_base,
    c.fs_base,
    c.gs_base_kernel,
    c.gs_base_user,
    c.event_callback_eip,
    c.syscall_callback_eip,
    c.failsafe_callback_eip,
    ...c.trap_ctxt.map((trap) => trap.address),
  ];
  return addresses.every(isCanonical) && addressOk(c.ldt_base);
}

/**
 * A start in user mode is refused: the one L4 of both modes makes it of no use to anybody, and no kernel is known to ask
 * for it.
 */
function check(c: Context): number {
  if (!addressesAllowed(c)) return -EINVAL;
  if ((c.ldt_base & PAGE_MASK) !== 0n || c.ldt_ents > MAX_LDT_ENTRIES) return -EINVAL;
  return (Number(c.flags & 0xffffffffn) & VGCF_IN_KERNEL) === 0 ? -EINVAL : 0;
}

/** The page tables and the GDT: what takes references and can fail. */
function takeTables(vcpu: Vcpu, c: Context, current: Vcpu): number {
  const { pages } = vcpu.domain;
  const error = setGdt(vcpu, c.gdt_frames.map(Number), Number(c.gdt_ents));
  if (error !== 0) return error;
  const l4 = Number(c.ctrlreg[3]! >> PAGE_SHIFT);
  let result = pages.getPageType(current, l4, PGT_l4_page_table);
  if (result === 0) {
    result = newUserBaseptr(vcpu, Number(c.ctrlreg[1]! >> PAGE_SHIFT));
    if (result !== 0) pages.putPageType(current, l4, PGT_l4_page_table);
  }
  if (result !== 0) setGdt(vcpu, [], 0);
  else vcpu.area.set('cr3', BigInt(l4) << PAGE_SHIFT);
  return result;
}

function fillArea(vcpu: Vcpu, c: Context): void {
  const { area } = vcpu;
  const flags = Number(c.flags & 0xffffffffn);
  area.set('kernel_sp', c.kernel_sp);
  area.setLow('kernel_ss', SEL_SHOWN_KERNEL_SS);
  area.set('event_callback', c.event_callback_eip);
  area.set('failsafe_callback', c.failsafe_callback_eip);
  area.set('syscall_callback', c.syscall_callback_eip);
  area.setLow('syscall_flags', (flags & VGCF_syscall_disables_events) === 0 ? 0 : CALLBACKF_mask_events);
  // A selector that is not null has its base from a descriptor.
  area.set('fs_base', (c.user_regs.fs & ~RPL) === 0 ? c.fs_base : 0n);
  area.set('gs_base_kernel', c.gs_base_kernel);
  area.set('gs_base_user', (c.user_regs.gs & ~RPL) === 0 ? c.gs_base_user : 0n);
  area.setLow('cr0_ts', (c.ctrlreg[0]! & X86_CR0_TS) === 0n ? 0 : 1);
  area.set('iopl', (c.user_regs.rflags & EFLAGS_IOPL) >> IOPL_SHIFT);
  area.set('ldt_base', c.ldt_base);
  area.set('ldt_entries', c.ldt_ents);
  if (c.ldt_ents !== 0n) vcpu.addPending(PENDING_LDT);
  c.trap_ctxt.forEach((trap, vector) => {
    setTrap(vcpu, vector, trap.cs, trap.flags, trap.address);
  });
  // Values that set_debugreg would refuse are left out without a word.
  for (const register of [0, 1, 2, 3, 6, 7]) writeDebugreg(vcpu, register, c.debugreg[register]!);
}

export function initialise(vcpu: Vcpu, arg: bigint, current: Vcpu): number {
  const context = current.guest.readStruct(vcpu_guest_context, arg);
  if (context === undefined) return -EFAULT;
  if (vcpu.initialised) return -EEXIST;
  const error = check(context) || takeTables(vcpu, context, current);
  if (error !== 0) return error;
  fillArea(vcpu, context);
  vcpu.startRegisters = context.user_regs;
  vcpu.initialised = true;
  vcpu.online = (Number(context.flags & 0xffffffffn) & VGCF_online) !== 0;
  return 0;
}
