/*
 * Rule: a SCHEDOP_watchdog that runs out ends the domain with SHUTDOWN_watchdog (xen/common/sched/core.c
 * domain_watchdog_timeout).
 */
#include "time.h"

const char test_title[] = "SHUTDOWN_watchdog";

void test_main(void) {
  must("stop_periodic", HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL));
  sched_watchdog_t dog = {.id = 0, .timeout = 1};
  must("watchdog", HYPERVISOR_sched_op(SCHEDOP_watchdog, &dog));
  print("Test result: SUCCESS");
  for (uint64_t start = system_time(); system_time() - start < 20000 * MS;)
    HYPERVISOR_sched_op(SCHEDOP_block, NULL);
  print("the watchdog did not bite");
}
