/*
 * Rule: HYPERVISOR_update_va_mapping writes the L1 entry of a virtual address, as mmu_update would, in the
 * running page tables, and flushes as its flags say; an address without an L1 is -EINVAL, one in Xen's hole
 * too (xen/arch/x86/mm.c __do_update_va_mapping).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_update_va_mapping";

STUB(load, "mov (%rdi), %eax");
STUB(store, "movl $1, (%rdi)");

#define APIC_FRAME 0xfee00ul
#define NO_FRAME (PTE_FRAME >> PAGE_SHIFT)

static uint8_t victim[2 * PAGE_SIZE] __attribute__((aligned(4096)));

static uint64_t entry(const void *page, uint64_t flags) {
  return ((uint64_t)mfn_of(page) << PAGE_SHIFT) | flags;
}

static void addresses(void *page) {
  static const struct {
    const char *name;
    ulong va;
  } cases[] = {{"user scratch", USER_SCRATCH},
               {"user scratch, not page aligned", USER_SCRATCH + 0x1234},
               {"no L1", USER_SCRATCH + (4ul << 21)},
               {"no L2", USER_SCRATCH + (1ul << 30)},
               {"no L3", 7ul << 39},
               {"page 0, no L1", 0},
               {"the M2P", 0xffff800000000000},
               {"Xen's hole", 0xffff830000000000},
               {"non-canonical", 0x0000900000000000},
               {"the top", 0xfffffffffffff000}};
  char name[64];
  for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
    say_rc(cases[i].name, HYPERVISOR_update_va_mapping(cases[i].va, entry(page, PTE_USER), UVMF_INVLPG));
    format(name, sizeof(name), "%s, zero", cases[i].name);
    say_rc(name, HYPERVISOR_update_va_mapping(cases[i].va, 0, UVMF_INVLPG));
  }
}

static void flush_flags(void *one, void *two) {
  static const struct {
    const char *name;
    ulong flags;
  } cases[] = {{"NONE", UVMF_NONE},
               {"TLB_FLUSH, LOCAL", UVMF_TLB_FLUSH | UVMF_LOCAL},
               {"TLB_FLUSH, ALL", UVMF_TLB_FLUSH | UVMF_ALL},
               {"INVLPG, LOCAL", UVMF_INVLPG | UVMF_LOCAL},
               {"INVLPG, ALL", UVMF_INVLPG | UVMF_ALL},
               {"flush type 3", 3}};
  *(uint32_t *)one = 1;
  *(uint32_t *)two = 2;
  for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
    must("map", set_l1e(USER_SCRATCH, entry(one, PTE_USER)));
    (void)*(volatile uint32_t *)USER_SCRATCH;
    long rc = HYPERVISOR_update_va_mapping(USER_SCRATCH, entry(two, PTE_USER), cases[i].flags);
    uint32_t seen = *(volatile uint32_t *)USER_SCRATCH;
    /* Without a flush either translation may be seen. */
    if (cases[i].flags == UVMF_NONE)
      print("flags %s: %s", cases[i].name, errno_name(rc));
    else
      print("flags %s: %s, sees page %u", cases[i].name, errno_name(rc), seen);
  }
  ulong bitmap[1] = {1};
  must("map", set_l1e(USER_SCRATCH, entry(one, PTE_USER)));
  expect_rc("flags INVLPG, vCPU bitmap",
            HYPERVISOR_update_va_mapping(USER_SCRATCH, entry(two, PTE_USER), (ulong)bitmap | UVMF_INVLPG), 0);
  say_rc("flags INVLPG, bad vCPU bitmap",
         HYPERVISOR_update_va_mapping(USER_SCRATCH, entry(two, PTE_USER),
                                      (USER_SCRATCH + PAGE_SIZE) | UVMF_INVLPG));
}

static void values(void) {
  ulong va = (ulong)victim;
  uint64_t *table = pte_of(va, 1);
  say_rc("the APIC's frame", set_l1e(va, (APIC_FRAME << PAGE_SHIFT) | PTE_KERNEL));
  say_rc("no frame", set_l1e(va, (NO_FRAME << PAGE_SHIFT) | PTE_KERNEL));
  say_rc("a page table, writable", set_l1e(va, ((uint64_t)mfn_of(table) << PAGE_SHIFT) | PTE_KERNEL));
  say_rc("a page table, read-only", set_l1e(va, ((uint64_t)mfn_of(table) << PAGE_SHIFT) | PTE_P | PTE_A));
  say_rc("the L4, writable", set_l1e(va, ((uint64_t)mfn_of(kernel_l4()) << PAGE_SHIFT) | PTE_KERNEL));
  say_rc("shared_info", set_l1e(va, start_info->shared_info | PTE_KERNEL));
  expect_rc("read-only", set_l1e(va, entry(victim, PTE_P | PTE_A)), 0);
  expect_kernel("load", load, va, NO_TRAP, 0);
  expect_kernel("store", store, va, PF, 3);
  expect_rc("not present", set_l1e(va, 0), 0);
  expect_kernel("load", load, va, PF, 0);
  expect_kernel("store", store, va, PF, 2);
  expect_rc("back", set_l1e(va, entry(victim, PTE_KERNEL)), 0);
  expect_kernel("store", store, va, NO_TRAP, 0);
}

static long other_domain(ulong va, uint64_t value, ulong flags, ulong domid) {
  return HYPERCALL_4(__HYPERVISOR_update_va_mapping_otherdomain, va, value, flags, domid);
}

void test_main(void) {
  void *one = page_alloc(), *two = page_alloc();
  addresses(one);
  flush_flags(one, two);
  values();
  say_rc("other domain, SELF", other_domain(USER_SCRATCH, entry(one, PTE_USER), UVMF_INVLPG, DOMID_SELF));
  say_rc("other domain, 99", other_domain(USER_SCRATCH, entry(one, PTE_USER), UVMF_INVLPG, 99));
}
