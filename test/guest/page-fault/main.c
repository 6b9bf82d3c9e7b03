/*
 * Rule: a guest's page fault reaches its gate with CR2 in vcpu_info arch.cr2 and the error code of the
 * access: P (1), W (2), U (4) for user mode, I (16) for a fetch. Guest kernel runs in ring 3 on Xen, but its
 * faults show U clear (xen/arch/x86/pv/traps.c pv_inject_event). oracle: differs. User mode touching a kernel
 * address: Xen's user tables do not map it (P clear), a shared table would have it (P set): P is not shown
 * there.
 */
#include "test.h"

const char test_title[] = "Page faults: error code and CR2";

/* Each takes the address. The access is the first instruction, so the fault is at +0. */
STUB(load, "mov (%rdi), %eax");
STUB(store, "movl $1, (%rdi)");
STUB(fetch, "jmp *%rdi");
STUB(modify, "lock incl (%rdi)");
STUB(test_only, "prefetcht0 (%rdi)");
STUB(far_load, "mov 0x7f8(%rdi), %rax");

#define AT(n) (USER_SCRATCH + (n)*PAGE_SIZE + 0x123)

enum { ABSENT, READ_ONLY, NO_EXEC, KERNEL_PAGE, GOOD };

static void show(const char *mode, const char *name, const struct regs *r, ulong address, ulong hide) {
  if (r->vec != PF) {
    print("%s %s: %s", mode, name, trap_name(r->vec));
    return;
  }
  print("%s %s: #PF[%lx]%s", mode, name, r->err & ~hide, trap_cr2 == address ? "" : " with another CR2");
  check(trap_cr2 == address, "CR2 is %lx", trap_cr2);
}

static void both(const char *name, void (*fn)(ulong), ulong address, ulong hide) {
  struct regs regs = {.vec = NO_TRAP};
  catch_kernel(fn, address, &regs);
  show("kernel", name, &regs, address, 0);
  if (regs.vec == PF) check(!(regs.err & 4), "U is set for kernel mode");
  catch_user(fn, address, &regs);
  show("user", name, &regs, address, hide);
  if (regs.vec == PF) check(regs.err & 4, "U is clear for user mode");
}

static void set_user_page(unsigned n, const void *page, uint64_t flags) {
  uint64_t *pte = pte_of(AT(n), 1);
  must("set user page", set_pte(pte, ((uint64_t)mfn_of(page) << PAGE_SHIFT) | flags));
}

void test_main(void) {
  uint8_t *page = page_alloc();
  page[0x123] = 0xc3; /* ret */
  set_user_page(READ_ONLY, page, PTE_P | PTE_US | PTE_A);
  set_user_page(NO_EXEC, page, PTE_USER | PTE_NX);
  set_user_page(KERNEL_PAGE, page, PTE_KERNEL);
  set_user_page(GOOD, page, PTE_USER);

  both("load, absent", load, AT(ABSENT), 0);
  both("store, absent", store, AT(ABSENT), 0);
  both("fetch, absent", fetch, AT(ABSENT), 0);
  both("prefetch, absent", test_only, AT(ABSENT), 0);
  both("load, read-only", load, AT(READ_ONLY), 0);
  both("store, read-only", store, AT(READ_ONLY), 0);
  both("locked, read-only", modify, AT(READ_ONLY), 0);
  both("fetch, read-only", fetch, AT(READ_ONLY), 0);
  both("load, no-execute", load, AT(NO_EXEC), 0);
  both("fetch, no-execute", fetch, AT(NO_EXEC), 0);
  page[0x123] = 0xc3;
  both("fetch, good", fetch, AT(GOOD), 0);
  both("store, good", store, AT(GOOD), 0);

  ulong no_l2 = USER_SCRATCH + (1ul << 30), no_l4 = 5ul << 39;
  both("load, no L2", load, no_l2, 0);
  both("load, no L4 slot", load, no_l4 + 8, 0);
  both("store, no L4 slot", store, no_l4 + 8, 0);
  both("load, page 0", load, 0, 0);
  both("load, last byte of the lower half", load, 0x00007fffffffffffu - 3, 0);

  /* A page crossing: CR2 is the first byte of the page that is not there. */
  struct regs regs = {.vec = NO_TRAP};
  ulong crossing = USER_SCRATCH + (GOOD + 1) * PAGE_SIZE - 0x7f8 - 4;
  catch_user(far_load, crossing, &regs);
  show("user", "load across the end of a page", &regs, USER_SCRATCH + (GOOD + 1) * PAGE_SIZE, 0);
}
