/*
 * Rule: HYPERVISOR_set_trap_table takes gates up to the first whose address is 0, adds them to those it has,
 * and with NULL forgets all; an address that is not canonical is refused, a table that cannot be read is
 * -EFAULT (xen/arch/x86/pv/callback.c do_set_trap_table).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_set_trap_table";

STUB(int_90, "int $0x90");
STUB(int_91, "int $0x91");

static long set(const trap_info_t *table) {
  return HYPERVISOR_set_trap_table(table);
}

void test_main(void) {
  trap_info_t table[4] = {{0x90, 3, FLAT_KERNEL_CS64, trap_entry(0x91)}, {0}};
  expect_rc("one gate", set(table), 0);
  expect_user("int 90 arrives at the entry of 91", int_90, 0, 0x91, 0);
  expect_user("int 91, as before", int_91, 0, GP, 0x91 * 8 + 2);

  table[0].address = trap_entry(0x90);
  table[1] = (trap_info_t){0x91, 3, FLAT_KERNEL_CS64, trap_entry(0x91)};
  table[2] = (trap_info_t){0};
  table[3] = (trap_info_t){0x90, 0, FLAT_KERNEL_CS64, trap_entry(0x90)};
  expect_rc("two gates and one after the end", set(table), 0);
  expect_user("int 90", int_90, 0, 0x90, 0);
  expect_user("int 91", int_91, 0, 0x91, 0);

  table[0] = (trap_info_t){0x90, 0, FLAT_KERNEL_CS64, trap_entry(0x90)};
  table[1] = (trap_info_t){0x91, 3, FLAT_KERNEL_CS64, 0x0000900000000000};
  table[2] = (trap_info_t){0};
  say_rc("an address that is not canonical", set(table));
  expect_user("the gate before it", int_90, 0, GP, 0x90 * 8 + 2);
  expect_user("its own gate, as before", int_91, 0, 0x91, 0);
  say_rc("table that is not mapped", set((trap_info_t *)USER_SCRATCH));
  say_rc("table in Xen's hole", set((trap_info_t *)0xffff830000000000));

  /* The selector may be anything: Xen enters the kernel on its own. */
  table[0] = (trap_info_t){0x90, 3, 0, trap_entry(0x90)};
  table[1] = (trap_info_t){0};
  say_rc("selector 0", set(table));
  struct regs r;
  catch_user(int_90, 0, &r);
  print("int 90: %s cs %x", trap_name(r.vec), r.cs);
}
