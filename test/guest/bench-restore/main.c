/*
 * No test: says every millisecond that it runs, for ever. For bench/, and for tests that save and restore it.
 */
#include "time.h"

const char test_title[] = "A guest that runs";

static uint8_t touched[32 << 20];

void test_main(void) {
  for (size_t at = 0; at < sizeof touched; at += PAGE_SIZE)
    *(uint64_t *)(touched + at) = at ^ 0x5851f42d4c957f2dul;
  *upcall_mask() = 1;
  for (uint64_t n = 0;; n++) {
    sched_poll_t op = {.nr_ports = 0, .timeout = system_time() + MS};
    must("poll", HYPERVISOR_sched_op(SCHEDOP_poll, &op));
    size_t at = n * PAGE_SIZE % sizeof touched;
    check(*(uint64_t *)(touched + at) == (at ^ 0x5851f42d4c957f2dul), "memory is not what it was");
    print("tick %lu", n);
  }
}
