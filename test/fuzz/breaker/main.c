/*
 * A kernel that breaks its own monitor: it writes anything into the memory that it shares with the
 * hypervisor, or into the monitor itself, takes ring 0, and goes on making calls and faults. What becomes of
 * it does not matter; the launcher must say how it ended. Command line: seed=N, ring0=0 to leave ring 0
 * alone, vcpus=N of the vCPUs that it has.
 */
#include "breaker.h"
#include "test.h"

const char test_title[] = "A kernel that breaks its monitor";

#define ROUNDS 400

static uint8_t buffer[2 * PAGE_SIZE] __attribute__((aligned(4096)));
static uint64_t written;

static void write(ulong at) {
  *(volatile uint64_t *)at = written;
}

STUB(undefined, "ud2");
STUB(load_nothing, "mov 0, %rax");
STUB(store_table, "mov (%rdi), %rax; mov %rax, (%rdi)");
STUB(nothing, "nop");
STUB(user_call, "syscall");
STUB(load_gs, "mov %edi, %gs");

void any_call(void) {
  ulong a = one_in(2) ? (ulong)buffer + below(PAGE_SIZE) : any_value();
  ulong nr = below(49);
  /* Sleep and the ends of the domain would only end the test. */
  if (nr == __HYPERVISOR_sched_op || nr == __HYPERVISOR_sched_op_compat) nr = __HYPERVISOR_vcpu_op;
  for (unsigned i = 0; i < sizeof(buffer) / 8; i += 1 + (unsigned)below(8))
    ((uint64_t *)buffer)[i] = any_value();
  hypercall(nr, one_in(2) ? below(32) : a, one_in(2) ? below(32) : a, one_in(2) ? a : any_value(),
            one_in(2) ? DOMID_SELF : any_value(), 0);
}

static void one_round(bool ring0) {
  struct regs r;
  for (ulong i = below(4); i > 0; i--) {
    written = any_value();
    catch_kernel(write, any_place(start_info->nr_pages, mfn_of(kernel_l4())), &r);
  }
  switch (below(9)) {
  case 0:
    catch_kernel(undefined, 0, &r);
    break;
  case 1:
    catch_kernel(load_nothing, 0, &r);
    break;
  case 2:
    catch_user(nothing, 0, &r);
    break;
  case 3:
    catch_user(user_call, 0, &r);
    break;
  case 4:
    catch_kernel(store_table, (ulong)pte_of((ulong)buffer, 1), &r);
    break;
  case 5:
    catch_kernel(load_gs, below(65536), &r);
    break;
  case 6:
    catch_kernel(exit_from_ring1, 0, &r);
    break;
  case 7:
    if (ring0) catch_kernel(enter_ring0, 0, &r);
    break;
  default:
    any_call();
  }
}

void test_main(void) {
  seed_draws(setting("seed=", 1));
  nr_vcpus = setting("vcpus=", 1);
  bool ring0 = setting("ring0=", 1) && one_in(2);
  if (ring0) open_ring0();
  start_others();
  for (unsigned i = 0; i < ROUNDS; i++)
    one_round(ring0);
}
