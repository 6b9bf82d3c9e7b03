/*
 * Rule: HYPERVISOR_mmu_update takes (machine address | command, value) pairs, writes an entry of a page table
 * after checking it, or a word of an ordinary page, or an M2P entry; it stops at the first bad pair and
 * reports how many it did. It flushes no TLB: that is the guest's business. MMU_PT_UPDATE_PRESERVE_AD keeps
 * the A and D bits that the entry has (xen/arch/x86/mm.c do_mmu_update).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_mmu_update on L1 entries, words and the M2P";

#define NO_FRAME (PTE_FRAME >> PAGE_SHIFT)
/* The local APIC's frame: not RAM, and not even dom0 may map it. */
#define APIC_FRAME 0xfee00ul
#define AT(n) (USER_SCRATCH + (n)*PAGE_SIZE)

static uint64_t frame_entry(ulong mfn, uint64_t flags) {
  return ((uint64_t)mfn << PAGE_SHIFT) | flags;
}

static long update_for(uint64_t ptr, uint64_t value, ulong domid) {
  mmu_update_t update = {ptr, value};
  unsigned done = 77;
  long rc = HYPERVISOR_mmu_update(&update, 1, &done, domid);
  /* -ESRCH comes before the list is looked at. */
  check(rc == -XEN_ESRCH || done == (rc == 0), "done is %u after %s", done, errno_name(rc));
  return rc;
}

static long update(uint64_t ptr, uint64_t value) {
  return update_for(ptr, value, DOMID_SELF);
}

static void good_and_bad_frames(void *page) {
  uint64_t *l1e = pte_of(AT(0), 1);
  uint64_t ptr = machine_of(l1e);
  expect_rc("map a page", update(ptr, frame_entry(mfn_of(page), PTE_USER)), 0);
  *(volatile uint32_t *)AT(0) = 0x1234;
  expect_hex("seen through the kernel's mapping", *(volatile uint32_t *)page, 0x1234);
  expect_rc("map it read-only", update(ptr, frame_entry(mfn_of(page), PTE_USER & ~PTE_RW)), 0);
  expect_rc("not present", update(ptr, 0), 0);
  expect_rc("not present, other bits set", update(ptr, 0xfffffffffffffffe), 0);
  expect_hex("which stay as they are", *l1e, 0xfffffffffffffffe);
  say_rc("the APIC's frame", update(ptr, frame_entry(APIC_FRAME, PTE_USER)));
  say_rc("no frame", update(ptr, frame_entry(NO_FRAME, PTE_USER)));
  say_rc("a page table, writable", update(ptr, frame_entry(mfn_of(l1e), PTE_USER)));
  expect_rc("a page table, read-only", update(ptr, frame_entry(mfn_of(l1e), PTE_USER & ~PTE_RW)), 0);
  must("flush", mmuext(MMUEXT_INVLPG_LOCAL, AT(0), 0));
  expect_hex("read through it", !((((volatile uint64_t *)AT(0))[0] ^ *l1e) & ~(PTE_A | PTE_D)), 1);
  expect_rc("shared_info", update(ptr, frame_entry(start_info->shared_info >> PAGE_SHIFT, PTE_USER)), 0);
  expect_rc("not present again", update(ptr, 0), 0);
}

static void flag_bits(void *page) {
  static const struct {
    const char *name;
    uint64_t bits;
  } cases[] = {{"PWT", PTE_PWT},
               {"PCD", PTE_PCD},
               {"A and D clear", PTE_A | PTE_D},
               {"PAT", PTE_PSE},
               {"G", PTE_G},
               {"avail 9", 1ul << 9},
               {"avail 10", 1ul << 10},
               {"avail 11", 1ul << 11},
               {"bit 53", 1ul << 53},
               {"bit 58", 1ul << 58},
               {"bit 59", 1ul << 59},
               {"bit 62", 1ul << 62},
               {"NX", PTE_NX}};
  uint64_t *l1e = pte_of(AT(0), 1);
  for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
    long rc = update(machine_of(l1e), frame_entry(mfn_of(page), PTE_USER) ^ cases[i].bits);
    print("flag %s: %s, entry has it: %d", cases[i].name, errno_name(rc), !!(*l1e & cases[i].bits));
  }
  update(machine_of(l1e), 0);
}

static void commands(void *page) {
  uint64_t *l1e = pte_of(AT(0), 1);
  uint64_t ptr = machine_of(l1e);
  must("map", update(ptr, frame_entry(mfn_of(page), PTE_USER)));
  expect_rc("NORMAL, A and D clear",
            update(ptr | MMU_NORMAL_PT_UPDATE, frame_entry(mfn_of(page), PTE_P | PTE_US)), 0);
  expect_hex("A and D", *l1e & (PTE_A | PTE_D), 0);
  must("map", update(ptr, frame_entry(mfn_of(page), PTE_USER)));
  expect_rc("PRESERVE_AD", update(ptr | MMU_PT_UPDATE_PRESERVE_AD, frame_entry(mfn_of(page), PTE_P | PTE_US)),
            0);
  expect_hex("A and D", *l1e & (PTE_A | PTE_D), PTE_A | PTE_D);
  must("unmap", update(ptr, 0));
  expect_rc("PRESERVE_AD over nothing",
            update(ptr | MMU_PT_UPDATE_PRESERVE_AD, frame_entry(mfn_of(page), PTE_P | PTE_US)), 0);
  expect_hex("A and D", *l1e & (PTE_A | PTE_D), 0);
  must("unmap", update(ptr, 0));
  for (unsigned cmd = MMU_PT_UPDATE_NO_TRANSLATE; cmd < 8; cmd++) {
    char name[32];
    format(name, sizeof(name), "command %u", cmd);
    say_rc(name, update(ptr | cmd, 0));
  }

  ulong mfn = mfn_of(page), pfn = m2p[mfn];
  expect_rc("MACHPHYS", update(((uint64_t)mfn << PAGE_SHIFT) | MMU_MACHPHYS_UPDATE, 0x123), 0);
  expect_hex("M2P", m2p[mfn], 0x123);
  must("MACHPHYS back", update(((uint64_t)mfn << PAGE_SHIFT) | MMU_MACHPHYS_UPDATE, pfn));
  say_rc("MACHPHYS of no frame",
         update((PTE_FRAME & ~PAGE_MASK) | (NO_FRAME << PAGE_SHIFT) | MMU_MACHPHYS_UPDATE, 1));
}

static void words(void *page) {
  volatile uint64_t *word = (volatile uint64_t *)page;
  expect_rc("word of an ordinary page", update(machine_of(page) + 8, 0x1122334455667788), 0);
  expect_hex("the word", word[1], 0x1122334455667788);
  say_rc("pointer to no frame", update(NO_FRAME << PAGE_SHIFT, 0));
  say_rc("pointer to the APIC's frame", update(APIC_FRAME << PAGE_SHIFT, 0));
}

static void batches(void *page) {
  mmu_update_t list[5];
  unsigned done = 77;
  for (unsigned i = 0; i < 5; i++)
    list[i] = (mmu_update_t){machine_of(pte_of(AT(i), 1)), frame_entry(mfn_of(page), PTE_USER)};
  expect_rc("five", HYPERVISOR_mmu_update(list, 5, &done, DOMID_SELF), 0);
  expect("done", done, 5);
  for (unsigned i = 0; i < 5; i++)
    list[i].val = 0;
  list[3].val = frame_entry(APIC_FRAME, PTE_USER);
  say_rc("five, the fourth bad", HYPERVISOR_mmu_update(list, 5, &done, DOMID_SELF));
  expect("done", done, 3);
  for (unsigned i = 0; i < 5; i++)
    print("entry %u present: %lu", i, *pte_of(AT(i), 1) & PTE_P);
  list[3].val = 0;
  expect_rc("no done pointer", HYPERVISOR_mmu_update(list, 5, NULL, DOMID_SELF), 0);
  expect_rc("none", HYPERVISOR_mmu_update(list, 0, &done, DOMID_SELF), 0);
  expect("done", done, 0);
  must("flush", mmuext(MMUEXT_INVLPG_LOCAL, AT(0), 0));
  say_rc("list that is not mapped", HYPERVISOR_mmu_update((void *)AT(0), 1, &done, DOMID_SELF));
  say_rc("list in Xen's hole", HYPERVISOR_mmu_update((void *)0xffff810000000000, 1, &done, DOMID_SELF));
  say_rc("done that is not mapped", HYPERVISOR_mmu_update(list, 1, (void *)AT(0), DOMID_SELF));
}

static void domains(void *page) {
  uint64_t ptr = machine_of(pte_of(AT(0), 1)), value = frame_entry(mfn_of(page), PTE_USER);
  say_rc("foreign domain 99", update_for(ptr, value, 99));
  say_rc("page tables of domain 99", update_for(ptr, value, (100ul << 16) | DOMID_SELF));
  say_rc("DOMID_IO and RAM", update_for(ptr, value, DOMID_IO));
  update(ptr, 0);
}

void test_main(void) {
  void *page = page_alloc();
  good_and_bad_frames(page);
  flag_bits(page);
  commands(page);
  words(page);
  batches(page);
  domains(page);
}
