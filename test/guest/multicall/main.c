/*
 * Rule: HYPERVISOR_multicall runs a list of hypercalls in order, each with its own result; one that fails
 * stops nothing; a multicall in a multicall is refused (xen/common/multicall.c).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_multicall";

static void say(const char *name, long rc, const multicall_entry_t *calls, unsigned n) {
  print("%s: %s", name, errno_name(rc));
  for (unsigned i = 0; i < n; i++)
    print("  entry %u: %s", i, errno_name((long)calls[i].result));
}

static multicall_entry_t map(ulong va, const void *page) {
  return (multicall_entry_t){.op = __HYPERVISOR_update_va_mapping,
                             .args = {va, ((uint64_t)mfn_of(page) << PAGE_SHIFT) | PTE_USER, UVMF_INVLPG}};
}

void test_main(void) {
  uint64_t *a = page_alloc(), *b = page_alloc();
  a[0] = 0xa;
  b[0] = 0xb;
  multicall_entry_t calls[4] = {map(USER_SCRATCH, a), map(USER_SCRATCH + PAGE_SIZE, b), map(USER_SCRATCH, b)};
  for (unsigned i = 0; i < 4; i++)
    calls[i].result = 77;
  say("three", HYPERVISOR_multicall(calls, 3), calls, 3);
  expect_hex("the first address, the last call", *(volatile uint64_t *)USER_SCRATCH, 0xb);
  expect_hex("the second address", *(volatile uint64_t *)(USER_SCRATCH + PAGE_SIZE), 0xb);

  calls[0] = (multicall_entry_t){.op = 63, .result = 77};
  calls[1] =
      (multicall_entry_t){.op = __HYPERVISOR_update_va_mapping, .args = {7ul << 39, 0, 0}, .result = 77};
  calls[2] = map(USER_SCRATCH, a);
  calls[3] = (multicall_entry_t){.op = ~0ul, .result = 77};
  say("errors between", HYPERVISOR_multicall(calls, 4), calls, 4);
  expect_hex("the one that was good", *(volatile uint64_t *)USER_SCRATCH, 0xa);

  multicall_entry_t inner[1] = {map(USER_SCRATCH, b)};
  calls[0] = (multicall_entry_t){.op = __HYPERVISOR_multicall, .args = {(ulong)inner, 1}, .result = 77};
  calls[1] = map(USER_SCRATCH + PAGE_SIZE, a);
  say("a multicall inside", HYPERVISOR_multicall(calls, 2), calls, 2);
  expect_hex("what it should have mapped", *(volatile uint64_t *)USER_SCRATCH, 0xa);

  /* Entries are read as they are reached, and their arguments are the caller's to keep. */
  mmu_update_t update = {machine_of(pte_of(USER_SCRATCH, 1)), 0};
  unsigned done = 77;
  calls[0] = (multicall_entry_t){.op = __HYPERVISOR_mmu_update,
                                 .args = {(ulong)&update, 1, (ulong)&done, DOMID_SELF}};
  calls[1] = (multicall_entry_t){.op = __HYPERVISOR_xen_version, .args = {XENVER_pagesize, 0}};
  calls[2] =
      (multicall_entry_t){.op = __HYPERVISOR_stack_switch, .args = {FLAT_KERNEL_SS64, (ulong)trap_stack_end}};
  say("mmu_update, xen_version, stack_switch", HYPERVISOR_multicall(calls, 3), calls, 3);
  expect("done", done, 1);
  expect_hex("entry is gone", *pte_of(USER_SCRATCH, 1), 0);

  /* mmu_update flushes nothing: a translation of the page may still be there. */
  must("invlpg", mmuext(MMUEXT_INVLPG_LOCAL, USER_SCRATCH, 0));

  say_rc("none", HYPERVISOR_multicall(calls, 0));
  say_rc("list that is not mapped", HYPERVISOR_multicall((void *)USER_SCRATCH, 1));
  say_rc("list in Xen's hole", HYPERVISOR_multicall((void *)0xffff830000000000, 1));
  /* The list runs off its page: what came before is done. */
  uint64_t *page = page_alloc();
  must("map", set_l1e(USER_SCRATCH, ((uint64_t)mfn_of(page) << PAGE_SHIFT) | PTE_USER));
  must("unmap", set_l1e(USER_SCRATCH + PAGE_SIZE, 0));
  multicall_entry_t *last = (multicall_entry_t *)(USER_SCRATCH + PAGE_SIZE) - 1;
  *last = (multicall_entry_t){.op = __HYPERVISOR_xen_version, .args = {XENVER_pagesize, 0}, .result = 77};
  say("list that runs off its page", HYPERVISOR_multicall(last, 2), last, 1);
}
