/*
 * Rule: what a domain without hardware can do with HYPERVISOR_physdev_op: its I/O privilege level, and a
 * bitmap of ports that ring 3 may use whatever the level (they still read as ones); unknown operations are
 * -ENOSYS (xen/arch/x86/physdev.c, pv/emul-priv-op.c guest_io_okay).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_physdev_op";

STUB(port_in, "mov $0x4444, %edx; in %dx, %al; movzbl %al, %eax");
STUB(port_in_next, "mov $0x4445, %edx; in %dx, %al; movzbl %al, %eax");
STUB(port_in16, "mov $0x4444, %edx; in %dx, %ax; movzwl %ax, %eax");

static void user_in(const char *name, void (*fn)(ulong)) {
  struct regs r;
  catch_user(fn, 0, &r);
  if (r.vec == RETURN_VECTOR)
    print("%s: %lx", name, r.rax);
  else
    print("%s: %s", name, trap_name(r.vec));
}

void test_main(void) {
  static uint8_t bitmap[8192];
  memset(bitmap, 0xff, sizeof(bitmap));
  bitmap[0x4444 / 8] &= (uint8_t) ~(1 << (0x4444 % 8));
  user_in("in, no bitmap", port_in);
  physdev_set_iobitmap_t io = {.nr_ports = 65536};
  set_xen_guest_handle(io.bitmap, bitmap);
  expect_rc("set_iobitmap", HYPERVISOR_physdev_op(PHYSDEVOP_set_iobitmap, &io), 0);
  user_in("in, allowed port", port_in);
  user_in("in, the next port", port_in_next);
  user_in("in of 16 bits, half allowed", port_in16);
  io.nr_ports = 0x4000;
  expect_rc("set_iobitmap, fewer ports", HYPERVISOR_physdev_op(PHYSDEVOP_set_iobitmap, &io), 0);
  user_in("in, port past the bitmap", port_in);
  io.nr_ports = 65537;
  say_rc("set_iobitmap, too many ports", HYPERVISOR_physdev_op(PHYSDEVOP_set_iobitmap, &io));
  physdev_set_iopl_t iopl = {.iopl = 3};
  expect_rc("set_iopl 3", HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, &iopl), 0);
  user_in("in, iopl 3", port_in);
  iopl.iopl = 0;
  expect_rc("set_iopl 0", HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, &iopl), 0);
  user_in("in, iopl 0", port_in);
  physdev_op_t compat = {.cmd = PHYSDEVOP_set_iopl};
  compat.u.set_iopl.iopl = 1;
  say_rc("physdev_op_compat, set_iopl", HYPERCALL_1(__HYPERVISOR_physdev_op_compat, &compat));
  compat.cmd = 99;
  say_rc("physdev_op_compat 99", HYPERCALL_1(__HYPERVISOR_physdev_op_compat, &compat));
  say_rc("operation 99", HYPERVISOR_physdev_op(99, &io));
  say_rc("argument that is not mapped", HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, (void *)USER_SCRATCH));
}
