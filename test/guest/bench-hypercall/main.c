/*
 * No test: the cost of a hypercall, for bench/. XENVER_version is answered by the monitor inside the guest,
 * XENVER_pagesize by the hypervisor outside it; neither does any work. And that of a system call: from ring 3
 * to its callback, and back by the iret hypercall with the frame that Linux makes. Least of several rounds.
 */
#include "test.h"
#include "time.h"

const char test_title[] = "Cost of a hypercall";

#define WARM_UP 20000
#define CALLS 200000
#define ROUNDS 20
#define CALLS_A_ROUND 10000

extern char empty_callback[];
asm(".pushsection .text\nempty_callback:\n"
    "pop %rcx; pop %r11; push $0; push %rcx; push %r11; push %rax; mov $23, %eax; syscall\n.popsection");
STUB(call_kernel, "1: xor %eax, %eax; syscall; dec %rdi; jnz 1b");

static ulong ns_per_call(unsigned command) {
  for (int i = 0; i < WARM_UP; i++)
    HYPERVISOR_xen_version(command, 0);
  uint64_t start = system_time();
  for (int i = 0; i < CALLS; i++)
    HYPERVISOR_xen_version(command, 0);
  return (system_time() - start + CALLS / 2) / CALLS;
}

static ulong ns_per_system_call(void) {
  struct callback_register op = {.type = CALLBACKTYPE_syscall, .address = (ulong)empty_callback};
  struct regs regs;
  ulong least = ~0ul;
  must("callback", HYPERVISOR_callback_op(CALLBACKOP_register, &op));
  for (int i = 0; i < ROUNDS; i++) {
    uint64_t start = system_time();
    catch_user(call_kernel, CALLS_A_ROUND, &regs);
    ulong ns = (system_time() - start + CALLS_A_ROUND / 2) / CALLS_A_ROUND;
    if (ns < least) least = ns;
  }
  return least;
}

void test_main(void) {
  print("hypercall-fast: %lu ns", ns_per_call(XENVER_version));
  print("hypercall-ts: %lu ns", ns_per_call(XENVER_pagesize));
  print("syscall-empty: %lu ns", ns_per_system_call());
}
