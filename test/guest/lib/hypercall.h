/* Hypercalls by `syscall`, as kernels without a HYPERCALL_PAGE note make them. */
#ifndef LIB_HYPERCALL_H
#define LIB_HYPERCALL_H

#include "xen.h"

typedef unsigned long ulong;

/* Arguments in rdi, rsi, rdx, r10, r8 (xen/arch-x86/xen-x86_64.h); rcx and r11 are lost to the instruction.
 */
static inline long hypercall(ulong nr, ulong a1, ulong a2, ulong a3, ulong a4, ulong a5) {
  register ulong r10 asm("r10") = a4;
  register ulong r8 asm("r8") = a5;
  asm volatile("syscall"
               : "+a"(nr), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10), "+r"(r8)
               :
               : "rcx", "r11", "memory");
  return (long)nr;
}

#define HYPERCALL_0(nr) hypercall(nr, 0, 0, 0, 0, 0)
#define HYPERCALL_1(nr, a) hypercall(nr, (ulong)(a), 0, 0, 0, 0)
#define HYPERCALL_2(nr, a, b) hypercall(nr, (ulong)(a), (ulong)(b), 0, 0, 0)
#define HYPERCALL_3(nr, a, b, c) hypercall(nr, (ulong)(a), (ulong)(b), (ulong)(c), 0, 0)
#define HYPERCALL_4(nr, a, b, c, d) hypercall(nr, (ulong)(a), (ulong)(b), (ulong)(c), (ulong)(d), 0)

#define HYPERVISOR_set_trap_table(t) HYPERCALL_1(__HYPERVISOR_set_trap_table, t)
#define HYPERVISOR_mmu_update(req, n, done, dom) HYPERCALL_4(__HYPERVISOR_mmu_update, req, n, done, dom)
#define HYPERVISOR_set_gdt(frames, n) HYPERCALL_2(__HYPERVISOR_set_gdt, frames, n)
#define HYPERVISOR_stack_switch(ss, esp) HYPERCALL_2(__HYPERVISOR_stack_switch, ss, esp)
#define HYPERVISOR_set_callbacks(e, f, s) HYPERCALL_3(__HYPERVISOR_set_callbacks, e, f, s)
#define HYPERVISOR_fpu_taskswitch(set) HYPERCALL_1(__HYPERVISOR_fpu_taskswitch, set)
#define HYPERVISOR_set_debugreg(r, v) HYPERCALL_2(__HYPERVISOR_set_debugreg, r, v)
#define HYPERVISOR_get_debugreg(r) HYPERCALL_1(__HYPERVISOR_get_debugreg, r)
#define HYPERVISOR_update_descriptor(ma, d) HYPERCALL_2(__HYPERVISOR_update_descriptor, ma, d)
#define HYPERVISOR_memory_op(cmd, arg) HYPERCALL_2(__HYPERVISOR_memory_op, cmd, arg)
#define HYPERVISOR_multicall(list, n) HYPERCALL_2(__HYPERVISOR_multicall, list, n)
#define HYPERVISOR_update_va_mapping(va, val, fl) HYPERCALL_3(__HYPERVISOR_update_va_mapping, va, val, fl)
#define HYPERVISOR_set_timer_op(ns) HYPERCALL_1(__HYPERVISOR_set_timer_op, ns)
#define HYPERVISOR_xen_version(cmd, arg) HYPERCALL_2(__HYPERVISOR_xen_version, cmd, arg)
#define HYPERVISOR_console_io(cmd, n, buf) HYPERCALL_3(__HYPERVISOR_console_io, cmd, n, buf)
#define HYPERVISOR_grant_table_op(cmd, op, n) HYPERCALL_3(__HYPERVISOR_grant_table_op, cmd, op, n)
#define HYPERVISOR_vm_assist(cmd, type) HYPERCALL_2(__HYPERVISOR_vm_assist, cmd, type)
#define HYPERVISOR_vcpu_op(cmd, vcpu, arg) HYPERCALL_3(__HYPERVISOR_vcpu_op, cmd, vcpu, arg)
#define HYPERVISOR_set_segment_base(w, base) HYPERCALL_2(__HYPERVISOR_set_segment_base, w, base)
#define HYPERVISOR_mmuext_op(op, n, done, dom) HYPERCALL_4(__HYPERVISOR_mmuext_op, op, n, done, dom)
#define HYPERVISOR_sched_op(cmd, arg) HYPERCALL_2(__HYPERVISOR_sched_op, cmd, arg)
#define HYPERVISOR_callback_op(cmd, arg) HYPERCALL_2(__HYPERVISOR_callback_op, cmd, arg)
#define HYPERVISOR_event_channel_op(cmd, arg) HYPERCALL_2(__HYPERVISOR_event_channel_op, cmd, arg)
#define HYPERVISOR_physdev_op(cmd, arg) HYPERCALL_2(__HYPERVISOR_physdev_op, cmd, arg)

#endif
