/*
 * Rule: a timer interrupts whatever the guest does, also a loop that never calls Xen: in ring 3, in the
 * kernel with upcalls open, not in the kernel with upcalls masked; the interrupted code goes on with all its
 * registers.
 */
#include "time.h"

const char test_title[] = "Events that interrupt a loop";

/* Spins until its word, which the upcall writes, is not 0; then every register must be as it was. */
STUB(spin,
     "push %rbx; push %rbp; push %r12; push %r15;"
     "mov $0x1b, %ebx; mov $0x1c, %ecx; mov $0x1d, %edx; mov $0x15, %esi; mov $0x1e, %ebp; mov $0x18, %r8d;"
     "mov $0x19, %r9d; mov $0x1a, %r10d; mov $0x11, %r11d; mov $0x12, %r12d; mov $0x1f, %r15d;"
     "1: pause; cmpl $0, (%rdi); je 1b;"
     "xor %eax, %eax; cmp $0x1b, %rbx; jne 2f; cmp $0x1c, %rcx; jne 2f; cmp $0x1d, %rdx; jne 2f;"
     "cmp $0x15, %rsi; jne 2f; cmp $0x1e, %rbp; jne 2f; cmp $0x18, %r8; jne 2f; cmp $0x19, %r9; jne 2f;"
     "cmp $0x1a, %r10; jne 2f; cmp $0x11, %r11; jne 2f; cmp $0x12, %r12; jne 2f; cmp $0x1f, %r15; jne 2f;"
     "jmp 3f; 2: inc %eax; 3: pop %r15; pop %r12; pop %rbp; pop %rbx");
STUB(spin_vector, "mov $0x5eed, %eax; movd %eax, %xmm5; fninit; fld1; 1: pause; cmpl $0, (%rdi); je 1b;"
                  "movd %xmm5, %eax; fistpl 8(%rdi); shl $8, %eax; or 8(%rdi), %eax");

static uint32_t *word; /* seen at USER_SCRATCH by both modes */
static uint16_t interrupted_cs;
static uint8_t interrupted_mask;
static unsigned wanted;

static void on_upcall(struct regs *regs) {
  interrupted_cs = regs->cs;
  interrupted_mask = regs->saved_upcall_mask;
  count_upcalls(regs);
  if (upcalls >= wanted)
    *word = 1;
  else
    must("set_timer_op", HYPERVISOR_set_timer_op(system_time() + 2 * MS));
}

static bool upcall_only(struct regs *regs) {
  if (regs->vec != EVENT_UPCALL) return false;
  on_upcall(regs);
  return true;
}

static void start(unsigned interrupts) {
  *word = 0;
  upcalls = 0;
  wanted = interrupts;
  must("set_timer_op", HYPERVISOR_set_timer_op(system_time() + 5 * MS));
}

static ulong call(void (*fn)(ulong)) {
  ulong result;
  asm volatile("call *%[fn]"
               : "=a"(result)
               : [fn] "r"((ulong)fn), "D"(USER_SCRATCH)
               : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory");
  return result;
}

static void in_kernel(const char *name, void (*fn)(ulong), unsigned interrupts) {
  start(interrupts);
  *upcall_mask() = 0;
  /* On a busy machine the event may be there already: the way back from a hypercall delivers it. */
  HYPERVISOR_xen_version(XENVER_version, NULL);
  ulong result = call(fn);
  *upcall_mask() = 1;
  print("kernel, %s: %lx, upcalls %u, cs %x, mask %u", name, result, upcalls, interrupted_cs,
        interrupted_mask);
}

static void in_user(const char *name, void (*fn)(ulong), unsigned interrupts) {
  struct regs r;
  start(interrupts);
  catch_hook = upcall_only;
  catch_user(fn, USER_SCRATCH, &r);
  catch_hook = NULL;
  print("user, %s: %s %lx, upcalls %u, cs %x, mask %u", name, trap_name(r.vec), r.rax, upcalls,
        interrupted_cs, interrupted_mask);
}

void test_main(void) {
  must("stop_periodic", HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL));
  unsigned timer = bind_virq(VIRQ_TIMER);
  clear_event(timer);
  shared_info->vcpu_info[0].evtchn_pending_sel = 0;
  shared_info->vcpu_info[0].evtchn_upcall_pending = 0;
  upcall_hook = on_upcall;
  word = page_alloc();
  must("map", set_l1e(USER_SCRATCH, ((uint64_t)mfn_of(word) << PAGE_SHIFT) | PTE_USER));

  in_kernel("one interrupt", spin, 1);
  in_kernel("ten interrupts", spin, 10);
  in_kernel("vector registers", spin_vector, 5);
  in_user("one interrupt", spin, 1);
  in_user("ten interrupts", spin, 10);
  in_user("vector registers", spin_vector, 5);

  /* Masked: nothing happens, however long it takes. */
  start(1);
  *upcall_mask() = 1;
  for (uint64_t from = system_time(); system_time() - from < 30 * MS;)
    asm volatile("pause");
  print("kernel, masked: upcalls %u, pending %u", upcalls, event_pending(timer));
  *upcall_mask() = 0;
  HYPERVISOR_xen_version(XENVER_version, NULL);
  print("opened: upcalls %u", upcalls);
  *upcall_mask() = 1;
}
