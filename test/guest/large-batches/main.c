/*
 * Rule: batches have no limit that a guest would notice: Xen interrupts and continues long ones by itself,
 * with the same counts and results as for short ones (xen/arch/x86/mm.c MMU_UPDATE_PREEMPTED,
 * common/multicall.c).
 */
#include "test.h"

const char test_title[] = "Large batches";

#define UPDATES 20000
#define CALLS 3000

static mmu_update_t updates[UPDATES];
static multicall_entry_t calls[CALLS];
static mmuext_op_t ops[2000];

void test_main(void) {
  uint64_t *page = page_alloc();
  unsigned done = 77;
  for (unsigned i = 0; i < UPDATES; i++) {
    updates[i].ptr = machine_of(pte_of(USER_SCRATCH + (i & 511) * PAGE_SIZE, 1));
    updates[i].val = i & 1 ? 0 : ((uint64_t)mfn_of(page) << PAGE_SHIFT) | PTE_USER;
  }
  expect_rc("mmu_update of 20000", HYPERVISOR_mmu_update(updates, UPDATES, &done, DOMID_SELF), 0);
  expect("done", done, UPDATES);
  unsigned present = 0;
  for (unsigned i = 0; i < 512; i++)
    present += *pte_of(USER_SCRATCH + i * PAGE_SIZE, 1) & PTE_P;
  expect("entries present", present, 256);
  updates[15000].val = (PTE_FRAME | PTE_USER);
  expect_rc("the 15001st bad", HYPERVISOR_mmu_update(updates, UPDATES, &done, DOMID_SELF), -XEN_EINVAL);
  expect("done", done, 15000);

  for (unsigned i = 0; i < CALLS; i++)
    calls[i] = (multicall_entry_t){
        .op = i % 3 ? __HYPERVISOR_xen_version : 63, .args = {XENVER_pagesize, 0}, .result = 77};
  expect_rc("multicall of 3000", HYPERVISOR_multicall(calls, CALLS), 0);
  unsigned good = 0, bad = 0;
  for (unsigned i = 0; i < CALLS; i++) {
    good += calls[i].result == 4096;
    bad += (long)calls[i].result == -XEN_ENOSYS;
  }
  expect("good", good, 2000);
  expect("bad", bad, 1000);

  for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
    ops[i] = (mmuext_op_t){.cmd = MMUEXT_INVLPG_LOCAL, .arg1.linear_addr = USER_SCRATCH};
  expect_rc("mmuext_op of 2000", HYPERVISOR_mmuext_op(ops, ARRAY_SIZE(ops), &done, DOMID_SELF), 0);
  expect("done", done, ARRAY_SIZE(ops));

  /* Trees: one pin of an L4 with 3 * 512 tables' worth of entries below. */
  uint64_t *l4 = page_alloc(), *l3 = page_alloc(), *l2 = page_alloc(), *l1[64];
  for (unsigned i = 0; i < ARRAY_SIZE(l1); i++) {
    l1[i] = page_alloc();
    for (unsigned j = 0; j < 512; j++)
      l1[i][j] = ((uint64_t)mfn_of(page) << PAGE_SHIFT) | (PTE_USER & ~PTE_RW);
    l2[i] = ((uint64_t)mfn_of(l1[i]) << PAGE_SHIFT) | PTE_TABLE;
    must("read-only", make_readonly(l1[i]));
  }
  l3[0] = ((uint64_t)mfn_of(l2) << PAGE_SHIFT) | PTE_TABLE;
  l4[0] = ((uint64_t)mfn_of(l3) << PAGE_SHIFT) | PTE_TABLE;
  must("read-only", make_readonly(l2));
  must("read-only", make_readonly(l3));
  must("read-only", make_readonly(l4));
  expect_rc("pin of 67 tables", mmuext(MMUEXT_PIN_L4_TABLE, mfn_of(l4), 0), 0);
  expect_rc("unpin", mmuext(MMUEXT_UNPIN_TABLE, mfn_of(l4), 0), 0);
  expect_rc("an L1 of it, writable", make_writable(l1[63]), 0);
}
