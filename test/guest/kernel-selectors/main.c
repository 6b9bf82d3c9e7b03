/*
 * Rule: a 64-bit guest kernel runs in ring 3: it may load Xen's flat selectors and its own, of RPL 3, into
 * every segment register, return to them far, and by its own iretq.
 */
#include "test.h"

const char test_title[] = "Segment registers in the kernel";

STUB(load_ss, "mov %edi, %ss");
STUB(pop_ss, "push %rdi; .byte 0x36, 0x8e, 0xd7; add $8, %rsp"); /* ss mov %edi, %ss */
STUB(in_user, "nop");
STUB(undefined, "ud2");
STUB(load_ds, "mov %edi, %ds");
STUB(load_es, "mov %edi, %es");
STUB(load_fs, "mov %edi, %fs");
STUB(load_gs, "mov %edi, %gs");
STUB(iretq, "mov %rsp, %rax; push $0xe02b; push %rax; pushfq; push %rdi; lea 1f(%rip), %rax; push %rax; "
            "iretq; 1: nop; nop");
STUB(lretq, "push %rdi; lea 1f(%rip), %rax; push %rax; lretq; 1: nop");

static void one(const char *name, void (*fn)(ulong), ulong selector) {
  struct regs r = {.vec = NO_TRAP};
  if (catch_kernel(fn, selector, &r))
    print("%s of %lx: %s[%lx] +%ld", name, selector, trap_name(r.vec), r.err, (long)(r.rip - (ulong)fn));
  else
    print("%s of %lx: none", name, selector);
}

void test_main(void) {
  static const unsigned selectors[] = {FLAT_KERNEL_SS64, 0, 3, 0xe023, FLAT_KERNEL_CS64, 0xfffb};
  for (unsigned i = 0; i < ARRAY_SIZE(selectors); i++) {
    one("ds", load_ds, selectors[i]);
    one("es", load_es, selectors[i]);
    one("fs", load_fs, selectors[i]);
    one("gs", load_gs, selectors[i]);
    /* oracle: differs. A null ss is a #GP in ring 3, and none in ring 1, where nobody can intercept it. */
    if (selectors[i] & ~3u) one("ss", load_ss, selectors[i]);
  }
  one("ss, with a prefix", pop_ss, FLAT_KERNEL_SS64);
  one("lretq", lretq, FLAT_KERNEL_CS64);
  one("iretq", iretq, FLAT_KERNEL_CS64);
  /* All of it leaves a kernel that works. */
  struct regs r;
  catch_user(in_user, 0, &r);
  print("user: %s, cs %x", trap_name(r.vec), r.cs);
  expect_kernel("ud2", undefined, 0, UD, 0);
}
