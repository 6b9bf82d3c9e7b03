/* Hypercalls that a profile showed to be hot, each with the result that TypeScript gives; the rest leave. */
#include "smp.h"
#include <xen/vcpu.h>
#include <xen/sched.h>

#define NR_HYPERCALLS 64
/* 13 days (do_set_timer_op, xen/common/sched/core.c) */
#define HUGE_NS (1ul << 50)
#define EFLAGS_NOT_FROM_GUEST 0x23000ul /* VM IOPL */

s64 leave_to_hypervisor(struct vcpu_area *v, u64 nr, const u64 *args) {
  v->hypercall[0] = nr;
  for (int i = 0; i < 6; i++)
    v->hypercall[i + 1] = args[i];
  exit_to_hypervisor(v, MONITOR_EXIT_HYPERCALL);
  s64 result = v->hypercall_result;
  if (unlikely(v->pending & PENDING_SLEEP)) {
    v->pending &= ~(u64)PENDING_SLEEP;
    vcpu_sleep(v);
  }
  return result;
}

static s64 fast_stack_switch(struct vcpu_area *v, const u64 *args) {
  v->kernel_sp = args[1];
  return 0;
}

static s64 fast_fpu_taskswitch(struct vcpu_area *v, const u64 *args) {
  write_cr0_ts(v, args[0] ? 1 : 0);
  return 0;
}

static s64 fast_xen_version(struct vcpu_area *v, const u64 *args) {
  return (u32)args[0] == 0 ? (s64)DOMAIN->xen_version : LEAVE_TO_HYPERVISOR;
}

static int is_canonical(u64 address) {
  return (u64)((s64)(address << 16) >> 16) == address;
}

static s64 fast_set_segment_base(struct vcpu_area *v, const u64 *args) {
  u64 base = args[1];
  if ((u32)args[0] <= SEGBASE_GS_KERNEL && !is_canonical(base)) return -XEN_EINVAL;
  switch ((u32)args[0]) {
  case SEGBASE_FS:
    wrmsr(MSR_FS_BASE, v->fs_base = base);
    return 0;
  case SEGBASE_GS_USER:
    wrmsr(MSR_KERNEL_GS_BASE, v->gs_base_user = base);
    return 0;
  case SEGBASE_GS_KERNEL:
    wrmsr(MSR_GS_BASE, v->gs_base_kernel = base);
    return 0;
  case SEGBASE_GS_USER_SEL:
    v->gs_selector = base & 0xffff;
    v->pending |= PENDING_GS_SELECTOR;
    return 0;
  default:
    return -XEN_EINVAL;
  }
}

static void set_timer(struct vcpu_area *v, u64 deadline) {
  v->timer_deadline = deadline;
  timers_changed(v);
}

/* Of times in the past that wrapped, and far ahead, the hypervisor makes something else. */
static s64 fast_set_timer_op(struct vcpu_area *v, const u64 *args) {
  if (args[0] >= HUGE_NS) return LEAVE_TO_HYPERVISOR;
  set_timer(v, args[0]);
  return 0;
}

static s64 fast_vcpu_op(struct vcpu_area *v, const u64 *args) {
  u64 deadline, flags;
  if ((u32)args[1] != v->id) return (u32)args[1] >= DOMAIN->nr_vcpus ? -XEN_ENOENT : LEAVE_TO_HYPERVISOR;
  switch ((u32)args[0]) {
  case VCPUOP_set_singleshot_timer:
    if (!guest_range_ok(args[2], sizeof(struct vcpu_set_singleshot_timer))) return -XEN_EFAULT;
    get_guest(deadline, args[2], fault);
    get_guest(flags, args[2] + 8, fault); /* of no effect, but they must be there */
    /* 0, and a time that wrapped, are in the past. */
    set_timer(v, (s64)deadline > 0 ? deadline : 1);
    return 0;
  case VCPUOP_stop_singleshot_timer:
    v->timer_deadline = 0;
    return 0;
  default:
    return LEAVE_TO_HYPERVISOR;
  }
fault:
  return -XEN_EFAULT;
}

static s64 fast_sched_op(struct vcpu_area *v, const u64 *args) {
  switch ((u32)args[0]) {
  case SCHEDOP_yield:
    return 0;
  case SCHEDOP_block:
    vcpu_info(v)->evtchn_upcall_mask = 0;
    vcpu_sleep(v);
    return 0;
  default:
    return LEAVE_TO_HYPERVISOR;
  }
}

static s64 fast_multicall(struct vcpu_area *v, const u64 *args);

/* The fast paths are this one table. */
static s64 (*const fast_path[NR_HYPERCALLS])(struct vcpu_area *, const u64 *) = {
    [__HYPERVISOR_mmu_update] = fast_mmu_update,
    [__HYPERVISOR_stack_switch] = fast_stack_switch,
    [__HYPERVISOR_fpu_taskswitch] = fast_fpu_taskswitch,
    [__HYPERVISOR_multicall] = fast_multicall,
    [__HYPERVISOR_update_va_mapping] = fast_update_va_mapping,
    [__HYPERVISOR_set_timer_op] = fast_set_timer_op,
    [__HYPERVISOR_xen_version] = fast_xen_version,
    [__HYPERVISOR_vcpu_op] = fast_vcpu_op,
    [__HYPERVISOR_set_segment_base] = fast_set_segment_base,
    [__HYPERVISOR_mmuext_op] = fast_mmuext_op,
    [__HYPERVISOR_sched_op] = fast_sched_op,
    [__HYPERVISOR_event_channel_op] = fast_event_channel_op,
};

#define LOCKED_CALLS                                                                                         \
  (1ul << __HYPERVISOR_mmu_update | 1ul << __HYPERVISOR_update_va_mapping | 1ul << __HYPERVISOR_mmuext_op)

static s64 call(struct vcpu_area *v, u64 nr, const u64 *args) {
  if (nr < NR_HYPERCALLS && fast_path[nr] && v->fast_paths) {
    int locked = LOCKED_CALLS >> nr & 1;
    if (locked) lock(v);
    s64 result = fast_path[nr](v, args);
    if (locked) unlock(v);
    if (likely(result != LEAVE_TO_HYPERVISOR)) {
      v->counters[nr]++;
      return result;
    }
  }
  return leave_to_hypervisor(v, nr, args);
}

static s64 fast_multicall(struct vcpu_area *v, const u64 *args) {
  u64 entry = args[0], count = (u32)args[1], op, call_args[6];
  if (!guest_range_ok(entry, count * sizeof(multicall_entry_t))) return -XEN_EFAULT;
  for (u64 i = 0; i < count; i++, entry += sizeof(multicall_entry_t)) {
    get_guest(op, entry, fault);
    for (int j = 0; j < 6; j++)
      get_guest(call_args[j], entry + 16 + j * 8, fault);
    /* do_multicall: no nesting; iret cannot be batched. */
    s64 result = op == __HYPERVISOR_multicall ? -XEN_EINVAL
                 : op == __HYPERVISOR_iret    ? -XEN_ENOSYS
                                              : call(v, op, call_args);
    put_guest(result, entry + 8, fault);
  }
  return 0;
fault:
  return -XEN_EFAULT;
}

/*
 * SYSRET loads selectors that STAR names, with fixed flat contents. It may stand for an iret to a user's
 * segments when the guest's own descriptors say the same: 64-bit code, and right below it writable data.
 * Linux leaves by its own selectors, others by Xen's.
 */
static void let_sysret_load(struct vcpu_area *v, u64 cs, u64 ss) {
  const u64 *gdt = (const u64 *)(GDT_VA + v->id * BLOCK_SIZE);
  if (cs == v->sysret_cs || ss + 8 != cs || (cs & 7) != 3 || cs < 8) return;
  u64 code = gdt[cs >> 3], data = gdt[ss >> 3];
  if ((code >> 40 & 0xf8) != 0xf8 || (code >> 53 & 3) != 1 || (data >> 40 & 0xfa) != 0xf2) return;
  v->sysret_cs = cs;
  v->sysret_ss = ss;
  wrmsr(MSR_STAR, (cs - 16) << 48 | (u64)SEL_MONITOR_CS << 32);
}

/* do_iret (xen/arch/x86/pv/iret.c), for what the stub leaves: events masked or to be delivered on the way. */
static void iret(struct vcpu_area *v, struct regs *r) {
  u64 frame[9]; /* struct iret_context */
  if (copy_from_guest(frame, r->rsp, sizeof frame)) crash(v, CRASH_BAD_IRET);
  int in_syscall = frame[3] & VGCF_in_syscall;
  r->rax = frame[0];
  r->r11 = in_syscall ? frame[6] : frame[1];
  r->rcx = in_syscall ? frame[4] : frame[2];
  r->rip = frame[4];
  r->rflags = (frame[6] & ~EFLAGS_NOT_FROM_GUEST) | X86_EFLAGS_IF | 2;
  r->rsp = frame[7];
  vcpu_info(v)->evtchn_upcall_mask = !(frame[6] & X86_EFLAGS_IF);
  if ((frame[5] & 3) == 3) {
    if (!v->user_cr3) crash(v, CRASH_NO_USER_TABLES);
    r->cs = frame[5] & 0xffff;
    r->ss = (frame[8] & 0xffff) | 3;
    v->user = 1;
    v->pending ^= PENDING_SWAPGS;
    let_sysret_load(v, r->cs, r->ss);
  } else {
    v->kernel_ss = (frame[8] & 0xffff) | 3;
    /* A guest kernel is in ring 3 on Xen, where ss cannot be null. */
    if (v->kernel_ss == 3) inject_exception(v, r, TRAP_gp_fault, 0);
  }
}

void hypercall(struct vcpu_area *v, struct regs *r) {
  u64 args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
  if (r->rax == __HYPERVISOR_iret && v->fast_paths)
    iret(v, r);
  else
    r->rax = call(v, r->rax, args);
}
