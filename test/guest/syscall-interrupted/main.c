/*
 * Rule: an event may come at any moment of a system call, and is neither lost nor seen: the kernel finds the
 * frame, its registers and its GS as ever, with CALLBACKF_mask_events no upcall comes before it opens them,
 * and the program goes on with what the kernel left for it.
 */
#include "time.h"

const char test_title[] = "Events during system calls";

#define UPCALLS 1000
#define MAX_DELAY_NS 30000

static struct {
  uint64_t stop, kernel, user;
} * words; /* in the scratch page, which both modes see at the same address */

#define KERNEL_WORD 0x6b65726e
#define USER_WORD 0x75736572

/* System calls until `stop`, each of which has to turn round its argument's bits; rax is what was wrong. */
STUB(calls,
     "push %rbx; push %rbp; push %r12; mov $0x1b, %ebx; mov $0x12, %r12d; mov $0x18, %r8d; mov $1, %ebp;"
     "1: mov %rbp, %rax; syscall; not %rax; cmp %rbp, %rax; jne 2f; cmp $0x1b, %rbx; jne 3f;"
     "cmp $0x12, %r12; jne 3f; cmp $0x18, %r8; jne 3f; cmpl $0x75736572, %gs:0; jne 4f;"
     "inc %rbp; cmpl $0, (%rdi); je 1b;"
     "xor %eax, %eax; jmp 5f; 2: mov $2, %eax; jmp 5f; 3: mov $3, %eax; jmp 5f; 4: mov $4, %eax;"
     "5: pop %r12; pop %rbp; pop %rbx");

static unsigned wrong_gs, wrong_frames, wrong_masks, late, in_kernel;
static bool masks_events;
static volatile bool handling;

static bool hook(struct regs *regs) {
  static unsigned delay;
  uint64_t word;
  asm volatile("mov %%gs:0, %0" : "=r"(word));
  wrong_gs += word != KERNEL_WORD;
  if (regs->vec == SYSCALL_CALLBACK) {
    handling = true;
    wrong_masks += *upcall_mask() != masks_events;
    wrong_frames += regs->rcx != regs->rip || regs->cs != FLAT_USER_CS64 || regs->r8 != 0x18 ||
                    regs->saved_upcall_mask || !(regs->rflags & X86_EFLAGS_IF);
    late += !*upcall_mask() && shared_info->vcpu_info[0].evtchn_upcall_pending;
    regs->rax = ~regs->rax;
    handling = false;
    return true;
  }
  if (regs->vec != EVENT_UPCALL) return false;
  wrong_masks += handling && masks_events;
  in_kernel += (regs->cs & 3) == 0;
  count_upcalls(regs);
  if (upcalls >= UPCALLS)
    words->stop = 1;
  else
    must("set_timer_op", HYPERVISOR_set_timer_op(system_time() + (delay = (delay + 1237) % MAX_DELAY_NS)));
  return true;
}

static void interrupted(const char *name, uint16_t flags) {
  extern char syscall_callback[];
  struct callback_register op = {
      .type = CALLBACKTYPE_syscall, .flags = flags, .address = (ulong)syscall_callback};
  struct regs r;
  must("callback", HYPERVISOR_callback_op(CALLBACKOP_register, &op));
  masks_events = flags & CALLBACKF_mask_events;
  upcalls = words->stop = wrong_gs = wrong_frames = wrong_masks = late = in_kernel = 0;
  must("set_timer_op", HYPERVISOR_set_timer_op(system_time() + MAX_DELAY_NS));
  catch_user_hooked(calls, USER_SCRATCH, hook, &r);
  print("%s: %s %lx, upcalls %u, wrong GS %u, frames %u, masks %u, late %u", name, trap_name(r.vec), r.rax,
        upcalls, wrong_gs, wrong_frames, wrong_masks, late);
  check(!masks_events || !in_kernel, "%u upcalls in the kernel, which has them masked", in_kernel);
}

void test_main(void) {
  must("stop_periodic", HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL));
  clear_event(bind_virq(VIRQ_TIMER));
  shared_info->vcpu_info[0].evtchn_pending_sel = 0;
  shared_info->vcpu_info[0].evtchn_upcall_pending = 0;
  words = page_alloc();
  must("map", set_l1e(USER_SCRATCH, ((uint64_t)mfn_of(words) << PAGE_SHIFT) | PTE_USER));
  words->kernel = KERNEL_WORD;
  words->user = USER_WORD;
  must("kernel GS", HYPERVISOR_set_segment_base(SEGBASE_GS_KERNEL, USER_SCRATCH + 8));
  must("user GS", HYPERVISOR_set_segment_base(SEGBASE_GS_USER, USER_SCRATCH + 16));

  interrupted("flags 0", 0);
  interrupted("CALLBACKF_mask_events", CALLBACKF_mask_events);
}
