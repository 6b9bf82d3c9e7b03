/*
 * Rule: HYPERVISOR_mmuext_op carries out a list of operations and stops at the first that fails, reporting
 * how many were done. NEW_BASEPTR and NEW_USER_BASEPTR take an L4 (validated if it is not pinned), CLEAR_PAGE
 * and COPY_PAGE write ordinary pages only, flushes never fail on addresses (xen/arch/x86/mm.c do_mmuext_op).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_mmuext_op";

#define NO_FRAME (PTE_FRAME >> PAGE_SHIFT)

STUB(user_load, "mov (%rdi), %eax");

static uint64_t entry(const void *page, uint64_t flags) {
  return ((uint64_t)mfn_of(page) << PAGE_SHIFT) | flags;
}

/* A copy of the running L4, so that the kernel goes on in it. */
static uint64_t *copy_l4(void) {
  uint64_t *l4 = page_alloc();
  memcpy(l4, kernel_l4(), PAGE_SIZE);
  for (unsigned i = 256; i <= 271; i++)
    l4[i] = 0;
  must("read-only", make_readonly(l4));
  return l4;
}

static void base_pointers(void) {
  uint64_t *l4 = copy_l4(), *writable = page_alloc();
  say_rc("NEW_BASEPTR, not pinned", mmuext(MMUEXT_NEW_BASEPTR, mfn_of(l4), 0));
  expect_hex("cr3 is ours again", va_of_mfn(mfn_of(l4)) == l4, 1);
  say_rc("map it writable", make_writable(l4));
  say_rc("NEW_BASEPTR, the same again", mmuext(MMUEXT_NEW_BASEPTR, mfn_of(l4), 0));
  say_rc("NEW_BASEPTR, writable page", mmuext(MMUEXT_NEW_BASEPTR, mfn_of(writable), 0));
  say_rc("NEW_BASEPTR, no frame", mmuext(MMUEXT_NEW_BASEPTR, NO_FRAME, 0));
  say_rc("NEW_BASEPTR, an L3", mmuext(MMUEXT_NEW_BASEPTR, (kernel_l4()[0] & PTE_FRAME) >> PAGE_SHIFT, 0));
  say_rc("NEW_BASEPTR, back", mmuext(MMUEXT_NEW_BASEPTR, mfn_of(kernel_l4()), 0));
  say_rc("map it writable", make_writable(l4));

  say_rc("NEW_USER_BASEPTR, no frame", mmuext(MMUEXT_NEW_USER_BASEPTR, NO_FRAME, 0));
  say_rc("NEW_USER_BASEPTR, writable page", mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(writable), 0));
  say_rc("NEW_USER_BASEPTR, the same", mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(user_l4), 0));
  say_rc("NEW_USER_BASEPTR, none", mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0));
  say_rc("NEW_USER_BASEPTR, back", mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(user_l4), 0));
}

static void pages(void) {
  uint64_t *one = page_alloc(), *two = page_alloc();
  memset(one, 0x5a, PAGE_SIZE);
  expect_rc("COPY_PAGE", mmuext(MMUEXT_COPY_PAGE, mfn_of(two), mfn_of(one)), 0);
  expect_hex("copied", memcmp(one, two, PAGE_SIZE) == 0, 1);
  expect_rc("CLEAR_PAGE", mmuext(MMUEXT_CLEAR_PAGE, mfn_of(two), 0), 0);
  expect_hex("cleared", two[0] | two[511], 0);
  say_rc("CLEAR_PAGE, no frame", mmuext(MMUEXT_CLEAR_PAGE, NO_FRAME, 0));
  say_rc("CLEAR_PAGE, a page table", mmuext(MMUEXT_CLEAR_PAGE, mfn_of(user_l4), 0));
  say_rc("COPY_PAGE, to no frame", mmuext(MMUEXT_COPY_PAGE, NO_FRAME, mfn_of(one)));
  say_rc("COPY_PAGE, from no frame", mmuext(MMUEXT_COPY_PAGE, mfn_of(two), NO_FRAME));
  say_rc("COPY_PAGE, to a page table", mmuext(MMUEXT_COPY_PAGE, mfn_of(user_l4), mfn_of(one)));
  expect_rc("COPY_PAGE, from a page table", mmuext(MMUEXT_COPY_PAGE, mfn_of(two), mfn_of(user_l4)), 0);
}

static void flushes(void) {
  ulong bitmap = 1;
  mmuext_op_t op = {.cmd = MMUEXT_TLB_FLUSH_MULTI, .arg2.vcpumask.p = (void *)&bitmap};
  expect_rc("TLB_FLUSH_LOCAL", mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
  expect_rc("TLB_FLUSH_ALL", mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
  expect_rc("TLB_FLUSH_MULTI", HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF), 0);
  op.cmd = MMUEXT_INVLPG_MULTI;
  op.arg1.linear_addr = USER_BASE;
  expect_rc("INVLPG_MULTI", HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF), 0);
  op.arg2.vcpumask.p = (void *)USER_SCRATCH;
  say_rc("INVLPG_MULTI, bad bitmap", HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF));
  expect_rc("INVLPG_LOCAL", mmuext(MMUEXT_INVLPG_LOCAL, USER_BASE, 0), 0);
  say_rc("INVLPG_LOCAL, non-canonical", mmuext(MMUEXT_INVLPG_LOCAL, 0x8000000000000000, 0));
  say_rc("INVLPG_LOCAL, Xen's hole", mmuext(MMUEXT_INVLPG_LOCAL, 0xffff830000000000, 0));
  expect_rc("INVLPG_ALL", mmuext(MMUEXT_INVLPG_ALL, USER_BASE, 0), 0);
  /* oracle: differs. FLUSH_CACHE is for domains with hardware: both answers are right for their domain. */
}

static void descriptor_tables(void) {
  uint64_t *ldt = page_alloc(), *writable = page_alloc();
  must("read-only", make_readonly(ldt));
  expect_rc("SET_LDT, none", mmuext(MMUEXT_SET_LDT, 0, 0), 0);
  say_rc("SET_LDT, 8 entries", mmuext(MMUEXT_SET_LDT, (ulong)ldt, 8));
  say_rc("SET_LDT, not page aligned", mmuext(MMUEXT_SET_LDT, (ulong)ldt + 8, 8));
  say_rc("SET_LDT, 8192 entries", mmuext(MMUEXT_SET_LDT, (ulong)writable, 8192));
  say_rc("SET_LDT, 8193 entries", mmuext(MMUEXT_SET_LDT, (ulong)writable, 8193));
  say_rc("SET_LDT, Xen's hole", mmuext(MMUEXT_SET_LDT, 0xffff830000000000, 8));
  expect_rc("SET_LDT, none", mmuext(MMUEXT_SET_LDT, 0, 0), 0);
}

static void lists(void) {
  mmuext_op_t ops[3] = {{.cmd = MMUEXT_TLB_FLUSH_LOCAL}, {.cmd = 99}, {.cmd = MMUEXT_TLB_FLUSH_LOCAL}};
  unsigned done = 77;
  say_rc("unknown in the middle", HYPERVISOR_mmuext_op(ops, 3, &done, DOMID_SELF));
  expect("done", done, 1);
  ops[1].cmd = MMUEXT_UNPIN_TABLE;
  ops[1].arg1.mfn = NO_FRAME;
  done = 77;
  say_rc("bad in the middle", HYPERVISOR_mmuext_op(ops, 3, &done, DOMID_SELF));
  expect("done", done, 1);
  done = 77;
  say_rc("none", HYPERVISOR_mmuext_op(ops, 0, &done, DOMID_SELF));
  expect("done", done, 0);
  say_rc("list that is not mapped", HYPERVISOR_mmuext_op((void *)USER_SCRATCH, 1, NULL, DOMID_SELF));
  say_rc("list in Xen's hole", HYPERVISOR_mmuext_op((void *)0xffff830000000000, 1, NULL, DOMID_SELF));
  say_rc("foreign domain 99", HYPERVISOR_mmuext_op(ops, 1, NULL, 99));
  for (unsigned cmd = 20; cmd < 24; cmd++) {
    char name[32];
    format(name, sizeof(name), "command %u", cmd);
    say_rc(name, mmuext(cmd, 0, 0));
  }
}

/* Ring 3 runs on the user L4, and a change of it shows at the next return there. */
static void user_tables(void) {
  uint64_t *l4 = page_alloc(), *page = page_alloc();
  l4[0] = user_l4[0];
  must("read-only", make_readonly(l4));
  must("map", set_l1e(USER_SCRATCH, entry(page, PTE_USER)));
  expect_rc("NEW_USER_BASEPTR, not pinned", mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(l4), 0), 0);
  expect_user("load through it", user_load, USER_SCRATCH, NO_TRAP, 0);
  must("back", mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(user_l4), 0));
  expect_user("load through the first", user_load, USER_SCRATCH, NO_TRAP, 0);
}

void test_main(void) {
  base_pointers();
  pages();
  flushes();
  descriptor_tables();
  lists();
  user_tables();
}
