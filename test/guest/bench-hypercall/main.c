/*
 * No test: the cost of a hypercall, for bench/. XENVER_version is answered by the monitor inside the guest,
 * XENVER_pagesize by the hypervisor outside it; neither does any work.
 */
#include "test.h"
#include "time.h"

const char test_title[] = "Cost of a hypercall";

#define WARM_UP 20000
#define CALLS 200000

static ulong ns_per_call(unsigned command) {
  for (int i = 0; i < WARM_UP; i++)
    HYPERVISOR_xen_version(command, 0);
  uint64_t start = system_time();
  for (int i = 0; i < CALLS; i++)
    HYPERVISOR_xen_version(command, 0);
  return (system_time() - start + CALLS / 2) / CALLS;
}

void test_main(void) {
  print("hypercall-fast: %lu ns", ns_per_call(XENVER_version));
  print("hypercall-ts: %lu ns", ns_per_call(XENVER_pagesize));
}
