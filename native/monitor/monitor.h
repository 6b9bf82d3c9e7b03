/* What the monitor's parts share: finding the vCPU, the CPU's registers, reaching guest memory. */
#ifndef XENNER_MONITOR_H
#define XENNER_MONITOR_H

#include "vcpu_area.h"
#include <stdint.h>
#define __XEN_INTERFACE_VERSION__ 0x00040d00
#include <xen/xen.h>
#include <xen/errno.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Not an errno: the fast path leaves this call to the hypervisor. */
#define LEAVE_TO_HYPERVISOR (-0x7fffffffl)

#define PTE_ADDRESS 0x000ffffffffff000ul
#define X86_EFLAGS_IF 0x200ul
#define X86_EFLAGS_TF 0x100ul
#define X86_EFLAGS_RF 0x10000ul

/* swapgs cannot anchor the monitor (Xen gives KERNEL_GS_BASE to the guest): a vCPU is found from its stack.
 */
static inline struct vcpu_area *this_vcpu(void) {
  u64 sp;
  __asm__("mov %%rsp, %0" : "=r"(sp));
  return (struct vcpu_area *)((sp & ~(BLOCK_SIZE - 1)) + BLOCK_VCPU_AREA);
}

#define DOMAIN ((struct domain_area *)(MONITOR_VA + DOMAIN_AREA))

static inline void *direct(u64 gpa) {
  return (void *)(DIRECT_VA + gpa);
}
static inline vcpu_info_t *vcpu_info(struct vcpu_area *v) {
  return (vcpu_info_t *)v->vcpu_info;
}

static inline void wrmsr(u32 msr, u64 value) {
  __asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}
static inline u64 rdmsr(u32 msr) {
  u32 low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
  return low | (u64)high << 32;
}
static inline u64 rdtsc(void) {
  u32 low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return low | (u64)high << 32;
}
static inline void invlpg(u64 address) {
  __asm__ volatile("invlpg (%0)" ::"r"(address) : "memory");
}
static inline u64 read_cr2(void) {
  u64 value;
  __asm__ volatile("mov %%cr2, %0" : "=r"(value));
  return value;
}
static inline void load_cr3(u64 cr3) {
  __asm__ volatile("mov %0, %%cr3" ::"r"(cr3) : "memory");
}

enum {
  TRAP_divide_error,
  TRAP_debug,
  TRAP_nmi,
  TRAP_int3,
  TRAP_overflow,
  TRAP_bounds,
  TRAP_invalid_op,
  TRAP_no_device,
  TRAP_double_fault,
  TRAP_copro_seg,
  TRAP_invalid_tss,
  TRAP_no_segment,
  TRAP_stack_error,
  TRAP_gp_fault,
  TRAP_page_fault,
  TRAP_alignment_check = 17,
  TRAP_machine_check = 18
};

#define PF_PROTECTED_WRITE 3ul /* present, write, and not from user mode */

#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_EOI 0x80bu
#define MSR_X2APIC_ICR 0x830u

/* Leaves for the hypervisor; everything it needs stands in the vCPU area. */
void exit_to_hypervisor(struct vcpu_area *v, u64 reason);

/*
 * Guest linear addresses are used as they are: the guest's page tables are loaded. A fault inside lands on
 * the label (see .ex_table in layout.ld). As in Xen's access_ok, the hole is out of bounds.
 */
#define EX_TABLE(insn, label)                                                                                \
  ".pushsection .ex_table, \"a\"\n .long " insn " - ., %l[" label "] - .\n .popsection\n"

static inline int guest_range_ok(u64 address, u64 size) {
  return address + size >= address && (address + size <= HOLE_START || address >= HOLE_END);
}

#define get_guest(value, address, fault)                                                                     \
  __asm__ volatile goto("1: mov (%1), %0\n" EX_TABLE("1b", #fault)                                           \
                        : "=r"(value)                                                                        \
                        : "r"(address)                                                                       \
                        : "memory"                                                                           \
                        : fault)
#define put_guest(value, address, fault)                                                                     \
  __asm__ goto("1: mov %0, (%1)\n" EX_TABLE("1b", #fault)::"r"(value), "r"(address) : "memory" : fault)

/* traps.c */
void bounce(struct vcpu_area *v, struct regs *r, u64 handler, int has_error_code, u64 error_code, int mask);
void inject_exception(struct vcpu_area *v, struct regs *r, unsigned vector, u64 error_code);
/* The fault's U bit follows from the mode that the guest is in. */
void inject_page_fault(struct vcpu_area *v, struct regs *r, u64 address, u64 error_code);
void crash(struct vcpu_area *v, u64 reason) __attribute__((noreturn));
int copy_from_guest(void *to, u64 from, u64 size);
/* What the guest has to be told of, and what the CPU has to load, before it goes on. */
void deliver_events(struct vcpu_area *v, struct regs *r);
void apply_pending(struct vcpu_area *v);
void write_cr0_ts(struct vcpu_area *v, u64 ts);

/* emulate.c: 1 if the instruction was done and rip is past it. */
int emulate_privileged(struct vcpu_area *v, struct regs *r);
int emulate_forced_cpuid(struct vcpu_area *v, struct regs *r);

/* ptwr.c: begin is 1 if the guest goes on with the write; finish, at the next trap, if nothing is left of
 * that. */
int ptwr_begin(struct vcpu_area *v, struct regs *r);
int ptwr_finish(struct vcpu_area *v, struct regs *r);

/* ring.c: 1 if the kernel's instruction was done, or is to be tried again. */
int emulate_ring3(struct vcpu_area *v, struct regs *r);
int leave_ring3(struct regs *r);

/* ldt.c */
void load_ldt(struct vcpu_area *v);
void unmap_ldt(struct vcpu_area *v);
int is_ldt_fault(const struct vcpu_area *v, u64 address, u64 error_code);
int map_ldt(struct vcpu_area *v, u64 address);
void inject_ldt_fault(struct vcpu_area *v, struct regs *r, u64 address, u64 error_code);

/* debug.c */
void debug_enter(struct vcpu_area *v, struct regs *r);
int debug_trap(struct vcpu_area *v, u64 *dr6);
void debug_leave(struct vcpu_area *v, struct regs *r);
void debug_asleep(struct vcpu_area *v);

/* mm.c: 0 or a negative Xen errno. src/xenner/mm holds the same rules. */
s64 fast_mmu_update(struct vcpu_area *v, const u64 *args);
s64 fast_update_va_mapping(struct vcpu_area *v, const u64 *args);
s64 fast_mmuext_op(struct vcpu_area *v, const u64 *args);
s64 new_baseptr(struct vcpu_area *v, u64 mfn);
/* The L1 entry that maps address in the guest's kernel tables, or 0. */
u64 *walk_to_l1(struct vcpu_area *v, u64 address);
int is_l1_table(u64 mfn);
/* The guest has written value over old itself: takes and drops the references, or returns an errno. */
s64 l1_entry_written(struct vcpu_area *v, u64 old, u64 value);
void flush_tlb(struct vcpu_area *v);

/* hypercall.c */
void hypercall(struct vcpu_area *v, struct regs *r);
s64 leave_to_hypervisor(struct vcpu_area *v, u64 nr, const u64 *args);

/* events.c */
s64 fast_event_channel_op(struct vcpu_area *v, const u64 *args);

/* time.c */
void timers_changed(struct vcpu_area *v);
u64 system_time(void);
void timer_interrupt(struct vcpu_area *v);

/* sleep.c */
void vcpu_sleep(struct vcpu_area *v);

#endif
