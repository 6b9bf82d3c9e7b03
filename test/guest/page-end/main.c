/*
 * Rule: what Xen reads of an instruction may go on in another page. What it cannot read of a forced cpuid
 * is a page fault of the guest's there (xen/arch/x86/pv/emul-inv-op.c), which a kernel can mend; bytes that
 * an instruction does not have do not matter (pv/emul-priv-op.c).
 */
#include "test.h"

const char test_title[] = "Instructions at the end of a page";

#define FIRST USER_SCRATCH
#define SECOND (USER_SCRATCH + PAGE_SIZE)

static uint8_t *first, *second;
static unsigned faults;

static void map(ulong at, const void *page, uint64_t flags) {
  must("map", set_l1e(at, ((uint64_t)mfn_of(page) << PAGE_SHIFT) | flags));
}

/* The first fault on the second page brings it. */
static bool mend(struct regs *regs) {
  if (regs->vec != PF || (trap_cr2 & PAGE_MASK) != SECOND || faults++) return false;
  print("  #PF[%lx] at +%lx, rip at -%lx", regs->err, trap_cr2 - SECOND, SECOND - regs->rip);
  map(SECOND, second, PTE_USER);
  return true;
}

/* code lies across the two pages, `before` bytes of it in the first. */
static void across(const char *name, const char *code, unsigned size, unsigned before, bool is_user) {
  struct regs r = {.vec = NO_TRAP, .rax = 0};
  ulong at = SECOND - before;
  for (unsigned i = 0; i < size; i++)
    *(i < before ? first + PAGE_SIZE - before + i : second + i - before) = (uint8_t)code[i];
  must("away", set_l1e(SECOND, 0));
  must("flush", mmuext(MMUEXT_INVLPG_LOCAL, SECOND, 0));
  faults = 0;
  print("%s, %s, %u before the end", is_user ? "user" : "kernel", name, before);
  catch_hook = mend;
  if (is_user) {
    set_user_return();
    struct regs context = {.rip = at,
                           .cs = FLAT_USER_CS64,
                           .rflags = X86_EFLAGS_IF | 2,
                           .rsp = USER_STACK_TOP - 8,
                           .ss = FLAT_USER_SS64,
                           .rax = 0x40000000};
    catch_iret(&context, 0, &r);
  } else {
    struct regs context = {.rip = at,
                           .cs = 0xe030,
                           .rflags = X86_EFLAGS_IF | 2,
                           .rsp = (ulong)second + PAGE_SIZE,
                           .ss = FLAT_KERNEL_SS64,
                           .rax = 0x40000000};
    catch_iret(&context, 0, &r);
  }
  catch_hook = NULL;
  print("  %s at %s%lx, rbx %x", trap_name(r.vec), r.rip < SECOND ? "-" : "+",
        r.rip < SECOND ? SECOND - r.rip : r.rip - SECOND, (uint32_t)r.rbx);
}

#define BOTH(name, code, before)                                                                             \
  do {                                                                                                       \
    across(name, code, sizeof(code) - 1, before, false);                                                     \
    across(name, code, sizeof(code) - 1, before, true);                                                      \
  } while (0)

void test_main(void) {
  first = page_alloc();
  second = page_alloc();
  map(FIRST, first, PTE_USER);
  for (unsigned n = 2; n <= 7; n++)
    BOTH("forced cpuid", "\x0f\x0bxen\x0f\xa2\xcd\x20", n);
  BOTH("ud2 and another page", "\x0f\x0b\x90\xcd\x20", 2);
  BOTH("hlt", "\xf4\xcd\x20", 1);
  BOTH("clts", "\x0f\x06\xcd\x20", 2);
  BOTH("clts", "\x0f\x06\xcd\x20", 1);
}
