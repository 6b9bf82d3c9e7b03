/*
 * Rule: HYPERVISOR_set_timer_op and VCPUOP_set_singleshot_timer raise VIRQ_TIMER at or after an absolute
 * system time, at once if it is past; set_timer_op(0) and stop_singleshot_timer cancel. VCPU_SSHOTTMR_future,
 * which once refused a past time with -ETIME, is ignored. A periodic timer of at least 1 ms raises it again
 * and again until it is stopped (xen/common/sched/core.c do_set_timer_op, domain.c common_vcpu_op).
 */
#include "time.h"

const char test_title[] = "Timers";

static unsigned port;

static long poll(unsigned on, uint64_t deadline) {
  evtchn_port_t ports[1] = {on};
  sched_poll_t op = {.nr_ports = 1, .timeout = deadline};
  set_xen_guest_handle(op.ports, ports);
  return HYPERVISOR_sched_op(SCHEDOP_poll, &op);
}

static void drain(void) {
  clear_event(port);
  shared_info->vcpu_info[0].evtchn_pending_sel = 0;
  shared_info->vcpu_info[0].evtchn_upcall_pending = 0;
}

/* Waits for the timer for at most 2 s and says whether it came, and never before its time. */
static void await(const char *name, uint64_t deadline) {
  must("poll", poll(port, system_time() + 2000 * MS));
  bool came = event_pending(port), early = system_time() < deadline;
  print("%s: %s%s", name, came ? "came" : "did not come", came && early ? ", too early" : "");
  check(came && !early, "%s", name);
  drain();
}

static void await_nothing(const char *name) {
  must("poll", poll(port, system_time() + 40 * MS));
  print("%s: %s", name, event_pending(port) ? "came" : "nothing came");
  check(!event_pending(port), "%s", name);
  drain();
}

static long singleshot(uint64_t deadline, uint32_t flags, int vcpu) {
  vcpu_set_singleshot_timer_t op = {.timeout_abs_ns = deadline, .flags = flags};
  return HYPERVISOR_vcpu_op(VCPUOP_set_singleshot_timer, vcpu, &op);
}

static void set_timer(void) {
  uint64_t at = system_time() + 10 * MS;
  expect_rc("set_timer_op", HYPERVISOR_set_timer_op(at), 0);
  await("10 ms", at);
  at = system_time() - 10 * MS;
  expect_rc("set_timer_op, past", HYPERVISOR_set_timer_op(at), 0);
  await("past", 0);
  expect_rc("set_timer_op, 1", HYPERVISOR_set_timer_op(1), 0);
  await("1 ns after the start", 0);
  must("set_timer_op", HYPERVISOR_set_timer_op(system_time() + 10 * MS));
  expect_rc("set_timer_op, 0", HYPERVISOR_set_timer_op(0), 0);
  await_nothing("cancelled");
  /* The last deadline counts. */
  must("set_timer_op", HYPERVISOR_set_timer_op(system_time() + 5 * MS));
  at = system_time() + 20 * MS;
  must("set_timer_op", HYPERVISOR_set_timer_op(at));
  await("moved later", at);
  await_nothing("only once");
}

static void set_singleshot(void) {
  uint64_t at = system_time() + 10 * MS;
  expect_rc("singleshot", singleshot(at, 0, 0), 0);
  await("10 ms", at);
  expect_rc("singleshot, past", singleshot(system_time() - MS, 0, 0), 0);
  await("past", 0);
  expect_rc("singleshot, past, SSHOTTMR_future", singleshot(system_time() - MS, VCPU_SSHOTTMR_future, 0), 0);
  await("past", 0);
  at = system_time() + 10 * MS;
  expect_rc("singleshot, SSHOTTMR_future", singleshot(at, VCPU_SSHOTTMR_future, 0), 0);
  await("10 ms", at);
  must("singleshot", singleshot(system_time() + 10 * MS, 0, 0));
  expect_rc("stop_singleshot", HYPERVISOR_vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL), 0);
  await_nothing("stopped");
  say_rc("singleshot on vCPU 99", singleshot(at, 0, 99));
  say_rc("singleshot, bad argument",
         HYPERVISOR_vcpu_op(VCPUOP_set_singleshot_timer, 0, (void *)USER_SCRATCH));
}

static void set_periodic(void) {
  vcpu_set_periodic_timer_t op = {.period_ns = 10 * MS};
  uint64_t start = system_time();
  expect_rc("periodic, 10 ms", HYPERVISOR_vcpu_op(VCPUOP_set_periodic_timer, 0, &op), 0);
  for (unsigned i = 0; i < 4; i++)
    await("tick", 0);
  check(system_time() - start >= 30 * MS, "four ticks within 30 ms");
  expect_rc("stop_periodic", HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0);
  must("poll", poll(port, system_time() + 30 * MS));
  drain();
  await_nothing("stopped");
  op.period_ns = 1;
  say_rc("periodic, 1 ns", HYPERVISOR_vcpu_op(VCPUOP_set_periodic_timer, 0, &op));
  op.period_ns = MS - 1;
  say_rc("periodic, just below 1 ms", HYPERVISOR_vcpu_op(VCPUOP_set_periodic_timer, 0, &op));
  op.period_ns = ~0ul;
  say_rc("periodic, all ones", HYPERVISOR_vcpu_op(VCPUOP_set_periodic_timer, 0, &op));
}

void test_main(void) {
  /* Old guests live on it: a vCPU starts with a 10 ms periodic timer. */
  port = bind_virq(VIRQ_TIMER);
  await("the tick that a vCPU starts with", 0);
  must("stop_periodic", HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL));
  must("poll", poll(port, system_time() + 30 * MS));
  drain();
  set_timer();
  set_singleshot();
  set_periodic();
}
