/*
 * Rule: what a guest asked to be flushed is gone from the TLB of both modes when the hypercall returns; the
 * CPU sets A and D in the guest's own entries (xen/arch/x86/mm.c; xen/include/public/xen.h MMUEXT_*, UVMF_*).
 */
#include "test.h"

const char test_title[] = "TLB, accessed and dirty bits";

STUB(load, "mov (%rdi), %eax");
STUB(store, "movb $1, 64(%rdi)");
STUB(fetch, "jmp *%rdi");

static uint64_t *one, *two;

static uint64_t entry(const void *page, uint64_t flags) {
  return ((uint64_t)mfn_of(page) << PAGE_SHIFT) | flags;
}

static uint64_t seen(bool user) {
  struct regs r;
  if (!user) return *(volatile uint32_t *)USER_SCRATCH;
  catch_user(load, USER_SCRATCH, &r);
  return r.vec == RETURN_VECTOR ? (uint32_t)r.rax : ~0ul;
}

enum how {
  VA_INVLPG,
  VA_FLUSH,
  UPDATE_INVLPG,
  UPDATE_INVLPG_ALL,
  UPDATE_FLUSH,
  UPDATE_FLUSH_ALL,
  WRITE_INVLPG,
  BASEPTR
};
static const char *const how_names[] = {"update_va_mapping, INVLPG",   "update_va_mapping, TLB_FLUSH",
                                        "mmu_update, INVLPG_LOCAL",    "mmu_update, INVLPG_ALL",
                                        "mmu_update, TLB_FLUSH_LOCAL", "mmu_update, TLB_FLUSH_ALL",
                                        "direct write, INVLPG_LOCAL",  "mmu_update, NEW_BASEPTR"};

static void change(enum how how, uint64_t value) {
  uint64_t *pte = pte_of(USER_SCRATCH, 1);
  if (how == VA_INVLPG)
    must("change", HYPERVISOR_update_va_mapping(USER_SCRATCH, value, UVMF_INVLPG));
  else if (how == VA_FLUSH)
    must("change", HYPERVISOR_update_va_mapping(USER_SCRATCH, value, UVMF_TLB_FLUSH));
  else if (how == WRITE_INVLPG)
    *(volatile uint64_t *)pte = value;
  else
    must("change", set_pte(pte, value));
  if (how == UPDATE_INVLPG || how == WRITE_INVLPG)
    must("flush", mmuext(MMUEXT_INVLPG_LOCAL, USER_SCRATCH, 0));
  if (how == UPDATE_INVLPG_ALL) must("flush", mmuext(MMUEXT_INVLPG_ALL, USER_SCRATCH, 0));
  if (how == UPDATE_FLUSH) must("flush", mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0));
  if (how == UPDATE_FLUSH_ALL) must("flush", mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0));
  if (how == BASEPTR) must("flush", mmuext(MMUEXT_NEW_BASEPTR, mfn_of(kernel_l4()), 0));
}

static void flushes(bool user) {
  for (unsigned how = VA_INVLPG; how <= BASEPTR; how++) {
    /* Xen maps user pages global: a new kernel base pointer need not flush them for ring 3. */
    if (how == BASEPTR && user) continue;
    change(VA_FLUSH, entry(one, PTE_USER));
    uint64_t before = seen(user);
    change(how, entry(two, PTE_USER));
    uint64_t after = seen(user);
    change(how, 0);
    struct regs r = {.vec = NO_TRAP};
    if (user)
      catch_user(load, USER_SCRATCH, &r);
    else
      catch_kernel(load, USER_SCRATCH, &r);
    print("%s, %s: page %lu, page %lu, %s", user ? "user" : "kernel", how_names[how], before, after,
          trap_name(r.vec));
  }
}

static void permissions(void) {
  must("writable", set_l1e(USER_SCRATCH, entry(one, PTE_USER)));
  expect_user("store", store, USER_SCRATCH, NO_TRAP, 0);
  must("read-only", set_l1e(USER_SCRATCH, entry(one, PTE_USER & ~PTE_RW)));
  expect_user("store after read-only", store, USER_SCRATCH, PF, 7);
  expect_kernel("store after read-only", store, USER_SCRATCH, PF, 3);
  must("no execute", set_l1e(USER_SCRATCH, entry(one, PTE_USER | PTE_NX)));
  expect_user("store after writable", store, USER_SCRATCH, NO_TRAP, 0);
  struct regs r;
  catch_user(fetch, USER_SCRATCH, &r);
  print("user fetch after no-execute: %s[%lx]", trap_name(r.vec), r.err);
}

static void accessed_and_dirty(void) {
  uint64_t *pte = pte_of(USER_SCRATCH, 1);
  struct regs r;
  for (unsigned user = 0; user <= 1; user++) {
    const char *mode = user ? "user" : "kernel";
    must("clean", set_l1e(USER_SCRATCH, entry(one, PTE_P | PTE_RW | PTE_US)));
    print("%s, new entry: A %u D %u", mode, !!(*pte & PTE_A), !!(*pte & PTE_D));
    if (user)
      catch_user(load, USER_SCRATCH, &r);
    else
      catch_kernel(load, USER_SCRATCH, &r);
    print("%s, after a load: A %u D %u", mode, !!(*pte & PTE_A), !!(*pte & PTE_D));
    if (user)
      catch_user(store, USER_SCRATCH, &r);
    else
      catch_kernel(store, USER_SCRATCH, &r);
    print("%s, after a store: A %u D %u", mode, !!(*pte & PTE_A), !!(*pte & PTE_D));
    must("clean", set_l1e(USER_SCRATCH, entry(one, PTE_P | PTE_RW | PTE_US)));
    if (user)
      catch_user(store, USER_SCRATCH, &r);
    else
      catch_kernel(store, USER_SCRATCH, &r);
    print("%s, cleaned and stored: A %u D %u", mode, !!(*pte & PTE_A), !!(*pte & PTE_D));
  }
}

void test_main(void) {
  one = page_alloc();
  two = page_alloc();
  one[0] = 1;
  two[0] = 2;
  flushes(false);
  flushes(true);
  permissions();
  accessed_and_dirty();
}
