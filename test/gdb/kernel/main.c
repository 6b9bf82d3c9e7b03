/*
 * A kernel to be debugged: by a debugger's breakpoints it stands wherever test/gdb wants it. Command line:
 * "crash" ends it by an exception without a handler, "shutdown" by SHUTDOWN_crash; "sleep" makes it wait for
 * its console, "meet" has two vCPUs be at the same place at the same time.
 */
#include "../../guest/lib/time.h"

#define MEETINGS 6

const char test_title[] = "A kernel to be debugged";

ulong call_xen(void), flags_pushed(void);
void touch(void *at), spin(void);
void user_code(ulong arg);
extern char syscall_callback[], event_callback[], trap_stack_end[];

volatile unsigned released, second_runs, answer = 1;
volatile ulong watched, second_counter, user_entry, result, arrived, met;
static uint8_t second_stack[PAGE_SIZE] __attribute__((aligned(16)));

static bool map_on_fault(struct regs *r) {
  if (r->vec != PF) return false;
  must("map", set_l1e(USER_SCRATCH, ((uint64_t)mfn_of(page_alloc()) << PAGE_SHIFT) | PTE_KERNEL));
  return true;
}

static bool asked_for(const char *word) {
  return !memcmp(start_info->cmd_line, word, strlen(word));
}

__attribute__((noinline)) void meeting(void) {
  met = 1;
  asm volatile("" ::: "memory");
}

static void meet(void) {
  for (unsigned i = 1; i <= MEETINGS; i++) {
    __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
    while (arrived < 2 * i)
      asm volatile("pause");
    meeting();
  }
}

/* The second vCPU: no events, no traps that it could take. */
__attribute__((noinline)) void second_start(void) {
  second_runs = 1;
  while (!released)
    second_counter++;
  second_runs = 2;
  HYPERVISOR_vcpu_op(VCPUOP_down, 1, NULL);
}

static void second_vcpu(void) {
  if (asked_for("meet")) meet();
  second_start();
}

static void start_second(void) {
  static vcpu_guest_context_t context;
  context.flags = VGCF_in_kernel;
  context.user_regs.rip = (ulong)second_vcpu;
  context.user_regs.rsp = (ulong)second_stack + sizeof(second_stack) - 8;
  context.user_regs.cs = FLAT_KERNEL_CS64;
  context.user_regs.ss = FLAT_KERNEL_SS64;
  context.user_regs.rflags = 2;
  context.kernel_sp = (ulong)second_stack + sizeof(second_stack);
  context.ctrlreg[3] = (ulong)mfn_of(kernel_l4()) << PAGE_SHIFT;
  must("initialise", HYPERVISOR_vcpu_op(VCPUOP_initialise, 1, &context));
  must("up", HYPERVISOR_vcpu_op(VCPUOP_up, 1, NULL));
}

__attribute__((noinline)) void write_watched(ulong value) {
  watched = value;
  asm volatile("" ::: "memory");
}

__attribute__((noinline)) unsigned read_answer(void) {
  return answer;
}

static void tick(struct regs *regs) {
  count_upcalls(regs);
  must("set_timer_op", HYPERVISOR_set_timer_op(system_time() + MS));
}

static void sleep_until_typed_at(void) {
  print("sleeping");
  *upcall_mask() = 1;
  mask_event(start_info->console.domU.evtchn, false);
  must("block", HYPERVISOR_sched_op(SCHEDOP_block, NULL));
  print("awake");
}

static void crash(void) {
  must("set_trap_table", HYPERVISOR_set_trap_table(NULL));
  asm volatile("ud2");
}

void test_main(void) {
  struct regs r;
  must("stop_periodic", HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL));
  bool second = HYPERVISOR_vcpu_op(VCPUOP_is_up, 1, NULL) == 0;
  user_entry = user_address((void *)user_code);
  bind_virq(VIRQ_TIMER);
  upcall_hook = tick;
  print("version %lx", call_xen());
  print("trap flag seen: %lu", flags_pushed() >> 8 & 1);
  trap_hook = map_on_fault;
  touch((void *)USER_SCRATCH);
  write_watched(1);
  write_watched(2);
  catch_user(user_code, 41, &r);
  print("user: %s, rbx %lu", trap_name(r.vec), r.rbx);
  print("answer %u", read_answer());
  if (asked_for("sleep")) sleep_until_typed_at();
  if (second) start_second();
  if (asked_for("meet")) meet();
  *upcall_mask() = 0;
  tick(&r);
  print("spinning");
  spin();
  *upcall_mask() = 1;
  print("released; events: %s", upcalls > 1 ? "some" : "none");
  if (asked_for("crash")) crash();
  if (asked_for("shutdown")) finish(SHUTDOWN_crash);
}
