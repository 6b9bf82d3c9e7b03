/*
 * Rule: HYPERVISOR_vcpu_op on this vCPU and on ones that do not exist: is_up, runstate, areas that Xen keeps
 * up to date in guest memory, the place of vcpu_info (xen/common/domain.c, arch/x86/domain.c).
 */
#include "time.h"

const char test_title[] = "HYPERVISOR_vcpu_op";

static struct {
  vcpu_runstate_info_t runstate;
  vcpu_time_info_t time;
} areas __attribute__((aligned(4096)));
static uint8_t info_page[PAGE_SIZE] __attribute__((aligned(4096)));

#define OP(cmd, vcpu, arg) HYPERVISOR_vcpu_op(cmd, vcpu, arg)

static void presence(void) {
  expect_rc("is_up 0", OP(VCPUOP_is_up, 0, NULL), 1);
  static const unsigned vcpus[] = {1, 31, 32, 99, 8191, 0x7fffffff, 0xffffffff};
  char name[32];
  for (unsigned i = 0; i < ARRAY_SIZE(vcpus); i++) {
    format(name, sizeof(name), "is_up %x", vcpus[i]);
    say_rc(name, OP(VCPUOP_is_up, vcpus[i], NULL));
  }
  static vcpu_guest_context_t context;
  say_rc("initialise 0, running", OP(VCPUOP_initialise, 0, &context));
  say_rc("initialise 1", OP(VCPUOP_initialise, 1, &context));
  say_rc("up 0", OP(VCPUOP_up, 0, NULL));
  say_rc("up 1", OP(VCPUOP_up, 1, NULL));
  say_rc("down 1", OP(VCPUOP_down, 1, NULL));
  say_rc("send_nmi 1", OP(VCPUOP_send_nmi, 1, NULL));
  say_rc("operation 99", OP(99, 0, NULL));
}

static void runstate(void) {
  vcpu_runstate_info_t info = {0};
  expect_rc("get_runstate_info", OP(VCPUOP_get_runstate_info, 0, &info), 0);
  expect("state", info.state, RUNSTATE_running);
  check(info.time[RUNSTATE_running] > 0, "no time spent running");
  check(info.state_entry_time <= system_time() + MS, "entered the state in the future");
  say_rc("get_runstate_info, bad argument", OP(VCPUOP_get_runstate_info, 0, (void *)USER_SCRATCH));
  vcpu_register_runstate_memory_area_t area = {.addr.v = &areas.runstate};
  expect_rc("register_runstate_memory_area", OP(VCPUOP_register_runstate_memory_area, 0, &area), 0);
  expect("state in memory", areas.runstate.state, RUNSTATE_running);
  uint64_t blocked = areas.runstate.time[RUNSTATE_blocked];
  /* Several times, as a busy machine may let the timer's time come before the sleep. */
  for (unsigned i = 0; i < 8 && areas.runstate.time[RUNSTATE_blocked] < blocked + 5 * MS; i++) {
    must("set_timer_op", HYPERVISOR_set_timer_op(system_time() + 10 * MS));
    must("block", HYPERVISOR_sched_op(SCHEDOP_block, NULL));
  }
  check(areas.runstate.time[RUNSTATE_blocked] >= blocked + 5 * MS, "10 ms of sleep are not in the area");
  /* A bad area is taken: it simply is not written. */
  area.addr.v = (void *)USER_SCRATCH;
  say_rc("register_runstate_memory_area, not mapped", OP(VCPUOP_register_runstate_memory_area, 0, &area));
  area.addr.v = NULL;
  say_rc("register_runstate_memory_area, none", OP(VCPUOP_register_runstate_memory_area, 0, &area));
}

static void time_area(void) {
  vcpu_register_time_memory_area_t area = {.addr.v = &areas.time};
  expect_rc("register_vcpu_time_memory_area", OP(VCPUOP_register_vcpu_time_memory_area, 0, &area), 0);
  must("yield", HYPERVISOR_sched_op(SCHEDOP_yield, NULL));
  expect_hex("the same scale",
             areas.time.tsc_to_system_mul == shared_info->vcpu_info[0].time.tsc_to_system_mul, 1);
  expect("version is even", areas.time.version & 1, 0);
  area.addr.v = NULL;
  say_rc("register_vcpu_time_memory_area, none", OP(VCPUOP_register_vcpu_time_memory_area, 0, &area));
}

/* After it the old place is dead: events, mask and CR2 are in the new one. Last, for that reason. */
static void move_vcpu_info(void) {
  vcpu_info_t *moved = (vcpu_info_t *)(info_page + 64);
  vcpu_register_vcpu_info_t op = {.mfn = mfn_of(info_page), .offset = PAGE_SIZE - 8};
  say_rc("register_vcpu_info across the end of a page", OP(VCPUOP_register_vcpu_info, 0, &op));
  op.offset = 3;
  say_rc("register_vcpu_info, not aligned", OP(VCPUOP_register_vcpu_info, 0, &op));
  op = (vcpu_register_vcpu_info_t){.mfn = PTE_FRAME >> PAGE_SHIFT};
  say_rc("register_vcpu_info, no frame", OP(VCPUOP_register_vcpu_info, 0, &op));
  op = (vcpu_register_vcpu_info_t){.mfn = mfn_of(user_l4)};
  say_rc("register_vcpu_info, a page table", OP(VCPUOP_register_vcpu_info, 0, &op));
  unsigned near, far;
  bind_loopback(&near, &far);
  *upcall_mask() = 1;
  op = (vcpu_register_vcpu_info_t){.mfn = mfn_of(info_page), .offset = 64};
  say_rc("register_vcpu_info for vCPU 1", OP(VCPUOP_register_vcpu_info, 1, &op));
  expect_rc("register_vcpu_info", OP(VCPUOP_register_vcpu_info, 0, &op), 0);
  expect("mask came along", moved->evtchn_upcall_mask, 1);
  expect("everything is pending once", moved->evtchn_upcall_pending, 1);
  expect_hex("in every selector", moved->evtchn_pending_sel, ~0ul);
  moved->evtchn_upcall_pending = 0;
  moved->evtchn_pending_sel = 0;
  shared_info->vcpu_info[0].evtchn_upcall_pending = 0;
  shared_info->vcpu_info[0].evtchn_pending_sel = 0;
  must("send", send_event(near));
  expect("upcall_pending, new place", moved->evtchn_upcall_pending, 1);
  expect("upcall_pending, old place", shared_info->vcpu_info[0].evtchn_upcall_pending, 0);
  check(moved->time.version && !(moved->time.version & 1), "time in the new place: version %u",
        moved->time.version);
  say_rc("register_vcpu_info, again", OP(VCPUOP_register_vcpu_info, 0, &op));
  /* The mask decides about the upcall, and the timer still works. */
  moved->evtchn_upcall_pending = 0;
}

void test_main(void) {
  must("stop_periodic", OP(VCPUOP_stop_periodic_timer, 0, NULL));
  bind_virq(VIRQ_TIMER);
  upcall_hook = count_upcalls;
  presence();
  runstate();
  time_area();
  move_vcpu_info();
}
