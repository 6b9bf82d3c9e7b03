/*
 * Rule: a PV kernel starts with %rsi at start_info, whose magic is "xen-<major>.<minor>-x86_64", on page
 * tables that map the initial area, with mfn_list giving the frame of each page and the M2P table its inverse
 * (xen/include/public/xen.h, start_info_t and MACH2PHYS_VIRT_START).
 */
#include "test.h"

const char test_title[] = "Start of day";

static uint8_t probe[PAGE_SIZE] __attribute__((aligned(4096)));

void test_main(void) {
  print("Hello, world");
  /* oracle: differs. Xen writes a "p" after it for dom0, the toolstack does not for a domU. */
  check(memcmp(start_info->magic, "xen-3.0-x86_64", 14) == 0, "magic is %s", start_info->magic);
  check(start_info->nr_pages > 1024, "only %lu pages", start_info->nr_pages);
  check(!(start_info->shared_info & ~PAGE_MASK), "shared_info %lx is not aligned", start_info->shared_info);
  check(start_info->mod_start == 0 && start_info->mod_len == 0, "there is a module");
  check(m2p[mfn_of(probe)] == ((ulong)probe - VIRT_BASE) >> PAGE_SHIFT, "M2P is not the inverse of mfn_list");
  uint64_t *pte = pte_of((ulong)probe, 1);
  check(pte != NULL, "no L1 entry of our own page");
  expect_hex("mapped frame is ours", (*pte & PTE_FRAME) >> PAGE_SHIFT == mfn_of(probe), 1);
  for (ulong frame = 0; frame < start_info->nr_pt_frames; frame++) {
    uint64_t *entry = pte_of(start_info->pt_base + frame * PAGE_SIZE, 1);
    check(entry && !(*entry & PTE_RW), "page table %lu is mapped writable", frame);
  }
}
