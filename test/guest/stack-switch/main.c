/*
 * Rule: HYPERVISOR_stack_switch sets where Xen starts the frame of a trap, system call or event that comes
 * from ring 3; it takes effect with the next one and leaves kernel-mode traps alone (xen/arch/x86/pv/mm.c
 * do_stack_switch).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_stack_switch";

static uint8_t other[2 * PAGE_SIZE] __attribute__((aligned(16)));

STUB(ud, "ud2");
STUB(do_syscall, "syscall");

static void where(const char *name) {
  struct regs r;
  ulong ends[] = {(ulong)trap_stack_end, (ulong)other + sizeof(other), (ulong)other + sizeof(other) - 16};
  static const char *const names[] = {"the first stack", "the other stack", "the other stack less 16"};
  void (*const fns[])(ulong) = {ud, do_syscall};
  for (unsigned f = 0; f < 2; f++) {
    const char *found = "elsewhere";
    catch_user(fns[f], 0, &r);
    for (unsigned i = 0; i < ARRAY_SIZE(ends); i++)
      if (trap_frame_top == ends[i]) found = names[i];
    print("%s, %s from user: frame at %s", name, trap_name(r.vec), found);
  }
  if (!catch_kernel(ud, 0, &r)) error("no trap");
  check(r.rsp - trap_frame_top < 16, "frame of a kernel trap is not below rsp");
}

void test_main(void) {
  where("at the start");
  expect_rc("switch", HYPERVISOR_stack_switch(FLAT_KERNEL_SS64, other + sizeof(other)), 0);
  where("switched");
  expect_rc("switch, not aligned", HYPERVISOR_stack_switch(FLAT_KERNEL_SS64, other + sizeof(other) - 3), 0);
  where("not aligned");
  expect_rc("back", HYPERVISOR_stack_switch(FLAT_KERNEL_SS64, trap_stack_end), 0);
  where("back");
  say_rc("ss with RPL 0", HYPERVISOR_stack_switch(0xe028, trap_stack_end));
  where("ss with RPL 0");
  say_rc("ss 0", HYPERVISOR_stack_switch(0, trap_stack_end));
  where("ss 0");
}
