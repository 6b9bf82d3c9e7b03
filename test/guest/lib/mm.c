/* The guest's own page tables: walking them, changing them, and the part that ring 3 sees. */
#include "test.h"

ulong *const m2p = (ulong *)MACH2PHYS_VIRT_START;
uint64_t *user_l4;
uint8_t user_stack_page[PAGE_SIZE] __attribute__((aligned(4096)));
extern char user_start[], user_end[];

static uint8_t pool[256][PAGE_SIZE] __attribute__((aligned(4096)));

ulong mfn_of(const void *va) {
  const ulong *p2m = (const ulong *)start_info->mfn_list;
  return p2m[((ulong)va - VIRT_BASE) >> PAGE_SHIFT];
}

void *va_of_mfn(ulong mfn) {
  ulong pfn = m2p[mfn];
  if (pfn >= start_info->nr_pages || mfn_of((void *)(VIRT_BASE + (pfn << PAGE_SHIFT))) != mfn) return NULL;
  return (void *)(VIRT_BASE + (pfn << PAGE_SHIFT));
}

uint64_t machine_of(const void *va) {
  return ((uint64_t)mfn_of(va) << PAGE_SHIFT) | ((ulong)va & ~PAGE_MASK);
}

void *page_alloc(void) {
  static unsigned used;
  if (used == ARRAY_SIZE(pool)) error("out of pages");
  return pool[used++];
}

/* The kernel's L4 is the one Xen started us with: no test runs test_main() on another. */
uint64_t *kernel_l4(void) {
  return (uint64_t *)start_info->pt_base;
}

uint64_t *pte_of(ulong va, unsigned level) {
  uint64_t *table = kernel_l4();
  for (unsigned at = 4;; at--) {
    uint64_t *pte = &table[(va >> (PAGE_SHIFT + 9 * (at - 1))) & 511];
    if (at == level) return pte;
    if (!(*pte & PTE_P)) return NULL;
    table = va_of_mfn((*pte & PTE_FRAME) >> PAGE_SHIFT);
    if (!table) error("page table of %lx at level %u is not in the initial area", va, at - 1);
  }
}

long set_l1e(ulong va, uint64_t value) {
  return HYPERVISOR_update_va_mapping(va, value, UVMF_INVLPG);
}

long set_pte(uint64_t *pte, uint64_t value) {
  mmu_update_t update = {machine_of(pte) | MMU_NORMAL_PT_UPDATE, value};
  return HYPERVISOR_mmu_update(&update, 1, NULL, DOMID_SELF);
}

long make_readonly(void *page) {
  return set_l1e((ulong)page, ((uint64_t)mfn_of(page) << PAGE_SHIFT) | (PTE_KERNEL & ~PTE_RW));
}

long make_writable(void *page) {
  return set_l1e((ulong)page, ((uint64_t)mfn_of(page) << PAGE_SHIFT) | PTE_KERNEL);
}

long mmuext(unsigned cmd, ulong arg1, ulong arg2) {
  mmuext_op_t op = {.cmd = cmd, .arg1.mfn = arg1, .arg2.nr_ents = (unsigned)arg2};
  if (cmd == MMUEXT_SET_LDT || cmd == MMUEXT_INVLPG_LOCAL || cmd == MMUEXT_INVLPG_MULTI ||
      cmd == MMUEXT_INVLPG_ALL)
    op.arg1.linear_addr = arg1;
  if (cmd == MMUEXT_COPY_PAGE) op.arg2.src_mfn = arg2;
  return HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

ulong user_address(const void *kernel_va) {
  return (ulong)kernel_va - (ulong)user_start + USER_BASE;
}

static uint64_t table_entry(const void *page) {
  return ((uint64_t)mfn_of(page) << PAGE_SHIFT) | PTE_TABLE;
}

/*
 * One L3 under slot 0 of both L4s, so a user address means the same in both modes (as Linux has it). The L4s
 * differ: the user one has no kernel half of its own.
 */
void user_init(void) {
  uint64_t *l3 = page_alloc(), *l2 = page_alloc(), *l1 = page_alloc();
  uint64_t *scratch_l1 = page_alloc();
  user_l4 = page_alloc();
  for (char *page = user_start; page < user_end; page += PAGE_SIZE)
    l1[(user_address(page) >> PAGE_SHIFT) & 511] = ((uint64_t)mfn_of(page) << PAGE_SHIFT) | PTE_USER;
  l1[511] = ((uint64_t)mfn_of(user_stack_page) << PAGE_SHIFT) | PTE_USER;
  l2[USER_BASE >> 21] = table_entry(l1);
  l2[USER_SCRATCH >> 21] = table_entry(scratch_l1);
  l3[0] = table_entry(l2);
  user_l4[0] = table_entry(l3);
  void *tables[] = {l3, l2, l1, scratch_l1, user_l4};
  for (unsigned i = 0; i < ARRAY_SIZE(tables); i++)
    must("read-only table", make_readonly(tables[i]));
  must("pin user L4", mmuext(MMUEXT_PIN_L4_TABLE, mfn_of(user_l4), 0));
  must("slot 0", set_pte(&kernel_l4()[0], table_entry(l3)));
  must("user L4", mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(user_l4), 0));
}
