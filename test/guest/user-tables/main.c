/*
 * Rule: ring 3 runs on the L4 of MMUEXT_NEW_USER_BASEPTR alone: it sees what that maps, also where the
 * kernel's L4 maps something else or nothing, and nothing of the kernel's half (xen/arch/x86/pv/domain.c
 * toggle_guest_mode).
 */
#include "test.h"

const char test_title[] = "Page tables of ring 3";

#define SLOT 3ul
#define VA (SLOT << 39)

STUB(load, "mov (%rdi), %eax");

static uint64_t entry(const void *page, uint64_t flags) {
  return ((uint64_t)mfn_of(page) << PAGE_SHIFT) | flags;
}

/* An L3 with one page at offset 0. */
static uint64_t *branch(uint64_t value) {
  uint64_t *l3 = page_alloc(), *l2 = page_alloc(), *l1 = page_alloc(), *page = page_alloc();
  page[0] = value;
  l1[0] = entry(page, PTE_USER);
  l2[0] = entry(l1, PTE_TABLE);
  l3[0] = entry(l2, PTE_TABLE);
  must("read-only", make_readonly(l1));
  must("read-only", make_readonly(l2));
  must("read-only", make_readonly(l3));
  return l3;
}

static void say(const char *name) {
  struct regs k = {.vec = NO_TRAP}, u;
  bool trapped = catch_kernel(load, VA, &k);
  uint32_t seen = trapped ? 0 : *(volatile uint32_t *)VA;
  catch_user(load, VA, &u);
  print("%s: kernel %s %x, user %s %x", name, trapped ? trap_name(k.vec) : "none", seen, trap_name(u.vec),
        u.vec == RETURN_VECTOR ? (uint32_t)u.rax : 0);
}

static void set(uint64_t *l4, uint64_t value) {
  must("L4 entry", set_pte(&l4[SLOT], value));
  must("flush", mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0));
}

void test_main(void) {
  uint64_t *a = branch(0xa), *b = branch(0xb);
  say("neither maps it");
  set(user_l4, entry(a, PTE_TABLE));
  say("the user's maps it");
  set(kernel_l4(), entry(b, PTE_TABLE));
  say("the kernel's maps another");
  set(user_l4, 0);
  say("the kernel's alone maps it");
  set(user_l4, entry(b, PTE_TABLE));
  say("both map the same");
  struct regs r;
  catch_user(load, (ulong)test_title, &r);
  print("kernel address from user: %s", trap_name(r.vec));
}
