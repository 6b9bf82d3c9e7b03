/*
 * Rule: vcpu_time_info is even-versioned while it is stable; system_time + scaled TSC never goes back, also
 * over sleeps, and runs at the pace of the timers; the wall clock (wc_*) has a version of its own
 * (xen/include/public/xen.h, xen/arch/x86/time.c).
 */
#include "time.h"

const char test_title[] = "The clock in shared_info";

static void never_back(const char *name, uint64_t for_ns, bool sleeping) {
  uint64_t start = system_time(), last = start, steps = 0;
  bool back = false;
  while (last - start < for_ns) {
    if (sleeping) {
      must("set_timer_op", HYPERVISOR_set_timer_op(last + MS));
      must("block", HYPERVISOR_sched_op(SCHEDOP_block, NULL));
    }
    uint64_t now = system_time();
    if (now < last) back = true;
    last = now < last ? last : now;
    steps++;
    if (steps > 100000000) error("time stands still");
  }
  print("%s: %s", name, back ? "went back" : "never went back");
  check(!back, "%s", name);
  check(steps > 1, "one step only");
}

/* Two clocks over the same stretch: the TSC scaled by hand, and a timer. */
static void pace(void) {
  uint64_t start = system_time();
  must("set_timer_op", HYPERVISOR_set_timer_op(start + 50 * MS));
  must("block", HYPERVISOR_sched_op(SCHEDOP_block, NULL));
  uint64_t took = system_time() - start;
  check(took >= 50 * MS, "a 50 ms timer took %lu ns", took);
  check(took < 2000 * MS, "a 50 ms timer took %lu ns", took);
  print("a 50 ms timer took at least that");
}

void test_main(void) {
  volatile vcpu_time_info_t *info = &shared_info->vcpu_info[0].time;
  expect("version is even", info->version & 1, 0);
  check(info->version != 0, "version is 0: never filled in");
  check(info->tsc_to_system_mul != 0, "tsc_to_system_mul is 0");
  check(info->tsc_shift > -32 && info->tsc_shift < 32, "tsc_shift is %d", info->tsc_shift);
  check(info->tsc_timestamp <= rdtsc(), "tsc_timestamp is in the future");
  expect("wc_version is even", shared_info->wc_version & 1, 0);
  uint64_t seconds = shared_info->wc_sec | (uint64_t)shared_info->wc_sec_hi << 32;
  check(shared_info->wc_nsec < 1000000000, "wc_nsec is %u", shared_info->wc_nsec);
  check(seconds > 1577836800 && seconds < 7258118400, "wall clock is %lu", seconds); /* 2020 to 2200 */
  must("stop_periodic", HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL));
  bind_virq(VIRQ_TIMER);
  upcall_hook = count_upcalls;
  never_back("busy", 50 * MS, false);
  never_back("sleeping", 50 * MS, true);
  pace();
}
