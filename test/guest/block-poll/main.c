/*
 * Rule: SCHEDOP_block opens upcalls and sleeps until one is due; SCHEDOP_poll sleeps until one of its ports
 * is pending, masked or not, or its time has come, and leaves the upcall mask alone. SCHEDOP_yield does
 * nothing that shows (xen/common/sched/core.c vcpu_block_enable_events, do_poll).
 */
#include "time.h"

const char test_title[] = "SCHEDOP block, poll, yield, watchdog";

static unsigned timer, near, far;

static long poll(unsigned n, const evtchn_port_t *ports, uint64_t deadline) {
  sched_poll_t op = {.nr_ports = n, .timeout = deadline};
  set_xen_guest_handle(op.ports, (evtchn_port_t *)ports);
  return HYPERVISOR_sched_op(SCHEDOP_poll, &op);
}

static void block(void) {
  upcalls = 0;
  *upcall_mask() = 1;
  uint64_t at = system_time() + 20 * MS;
  must("set_timer_op", HYPERVISOR_set_timer_op(at));
  expect_rc("block", HYPERVISOR_sched_op(SCHEDOP_block, NULL), 0);
  expect("upcalls", upcalls, 1);
  expect("mask after it", *upcall_mask(), 0);
  check(system_time() >= at, "block came back before the timer");

  /* Something is pending already: no sleep. */
  *upcall_mask() = 1;
  must("send", send_event(near));
  expect("pending", event_pending(far), 1);
  expect_rc("block with an event pending", HYPERVISOR_sched_op(SCHEDOP_block, NULL), 0);
  expect("upcalls", upcalls, 2);
  *upcall_mask() = 1;
}

static void poll_ports(void) {
  evtchn_port_t both[2] = {far, timer};
  uint64_t start = system_time();
  expect_rc("poll, nothing comes", poll(1, both, start + 20 * MS), 0);
  check(system_time() >= start + 20 * MS, "poll came back too early");
  expect("mask", *upcall_mask(), 1);

  must("send", send_event(near));
  start = system_time();
  expect_rc("poll, pending already", poll(1, both, start + 3000 * MS), 0);
  check(system_time() < start + 1500 * MS, "poll slept");
  expect("still pending", event_pending(far), 1);
  clear_event(far);

  mask_event(timer, true);
  uint64_t at = system_time() + 20 * MS;
  must("set_timer_op", HYPERVISOR_set_timer_op(at));
  expect_rc("poll on two, the second comes, masked", poll(2, both, system_time() + 3000 * MS), 0);
  expect("pending", event_pending(timer), 1);
  check(system_time() >= at && system_time() < at + 1500 * MS, "poll did not end with the event");
  clear_event(timer);

  /* Timeout 0 is none. */
  must("set_timer_op", HYPERVISOR_set_timer_op(system_time() + 20 * MS));
  expect_rc("poll without a timeout", poll(2, both, 0), 0);
  expect("pending", event_pending(timer), 1);
  clear_event(timer);
  mask_event(timer, false);
  start = system_time();
  expect_rc("poll, timeout past", poll(2, both, 1), 0);
  start = system_time();
  expect_rc("poll on no port", poll(0, both, start + 20 * MS), 0);
  check(system_time() >= start + 20 * MS, "poll came back too early");
}

static void bad_polls(void) {
  static evtchn_port_t many[200];
  for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
    many[i] = far;
  evtchn_port_t bad[2] = {far, 5000};
  say_rc("poll on 128 ports", poll(128, many, 1));
  say_rc("poll on 129 ports", poll(129, many, 1));
  say_rc("poll on a port past the table", poll(2, bad, 1));
  say_rc("poll on ports that are not mapped", poll(2, (void *)USER_SCRATCH, 1));
  say_rc("poll, argument not mapped", HYPERVISOR_sched_op(SCHEDOP_poll, (void *)USER_SCRATCH));
}

static void others(void) {
  expect_rc("yield", HYPERVISOR_sched_op(SCHEDOP_yield, NULL), 0);
  say_rc("sched_op 99", HYPERVISOR_sched_op(99, NULL));
  say_rc("shutdown, argument not mapped", HYPERVISOR_sched_op(SCHEDOP_shutdown, (void *)USER_SCRATCH));
  sched_watchdog_t dog = {.id = 0, .timeout = 30};
  long id = HYPERVISOR_sched_op(SCHEDOP_watchdog, &dog);
  expect_hex("watchdog gives an id", id > 0, 1);
  dog.id = (uint32_t)id;
  expect_rc("watchdog, again", HYPERVISOR_sched_op(SCHEDOP_watchdog, &dog), 0);
  dog.timeout = 0;
  expect_rc("watchdog, off", HYPERVISOR_sched_op(SCHEDOP_watchdog, &dog), 0);
  say_rc("watchdog, off again", HYPERVISOR_sched_op(SCHEDOP_watchdog, &dog));
  dog.id = 99;
  say_rc("watchdog 99", HYPERVISOR_sched_op(SCHEDOP_watchdog, &dog));
  dog = (sched_watchdog_t){.id = 0, .timeout = 100};
  expect("watchdog", HYPERVISOR_sched_op(SCHEDOP_watchdog, &dog), 1);
  expect("second watchdog", HYPERVISOR_sched_op(SCHEDOP_watchdog, &dog), 2);
  /* Xen computes this one in 32 bits: the upper half of -ENOSPC is zero. */
  say_rc("third watchdog", (int)HYPERVISOR_sched_op(SCHEDOP_watchdog, &dog));
  /* The old call: only yield and block. */
  expect_rc("sched_op_compat yield", HYPERCALL_2(__HYPERVISOR_sched_op_compat, SCHEDOP_yield, 0), 0);
  /* What the polls left behind would end it at once, and the timer come a little later. */
  shared_info->vcpu_info[0].evtchn_pending_sel = 0;
  shared_info->vcpu_info[0].evtchn_upcall_pending = 0;
  upcalls = 0;
  must("set_timer_op", HYPERVISOR_set_timer_op(system_time() + 10 * MS));
  expect_rc("sched_op_compat block", HYPERCALL_2(__HYPERVISOR_sched_op_compat, SCHEDOP_block, 0), 0);
  expect("upcalls", upcalls, 1);
  say_rc("sched_op_compat poll", HYPERCALL_2(__HYPERVISOR_sched_op_compat, SCHEDOP_poll, 0));
}

void test_main(void) {
  must("stop_periodic", HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL));
  timer = bind_virq(VIRQ_TIMER);
  bind_loopback(&near, &far);
  clear_event(timer);
  shared_info->vcpu_info[0].evtchn_pending_sel = 0;
  shared_info->vcpu_info[0].evtchn_upcall_pending = 0;
  upcall_hook = count_upcalls;
  block();
  poll_ports();
  bad_polls();
  others();
}
