/*
 * Rule: ports and cli in compatibility mode, where 40 to 4f are instructions, a code segment has a base, and
 * operands are of 32 bits or 16 (xen/arch/x86/pv/emul-priv-op.c).
 */
#include "test.h"

const char test_title[] = "Ports in compatibility mode";

#define CODE32 0x00cffb000000fffful
#define CODE16 0x008ffb000000fffful
#define DATA3 0x00cff3000000fffful

STUB(in8, ".byte 0x40, 0xec, 0xcd, 0x20");      /* inc %eax; in %dx, %al */
STUB(in32, ".byte 0x48, 0xed, 0xcd, 0x20");     /* dec %eax; in %dx, %eax */
STUB(in_other, ".byte 0x66, 0xed, 0xcd, 0x20"); /* the other operand size */
STUB(in_twice, ".byte 0x66, 0x66, 0xed, 0xcd, 0x20");
STUB(in_port, ".byte 0xe5, 0x44, 0xcd, 0x20"); /* in $0x44, %eax */
STUB(out_port, ".byte 0xe7, 0x44, 0xcd, 0x20");
STUB(no_interrupts, ".byte 0xfa, 0xfb, 0xcd, 0x20"); /* cli; sti */

static void run(const char *mode, const char *name, void (*fn)(ulong), unsigned cs, ulong base) {
  struct regs r;
  struct regs context = {.rip = user_address((void *)fn) - base,
                         .cs = (uint16_t)cs,
                         .rflags = X86_EFLAGS_IF | 2,
                         .rsp = USER_STACK_TOP - 64,
                         .ss = 0x2b,
                         .rax = 0x11223344,
                         .rdx = 0x4444};
  catch_iret(&context, 0, &r);
  print("%s, %s: %s +%ld rax %lx", mode, name, trap_name(r.vec), (long)(r.rip - context.rip), r.rax);
}

static void all(const char *mode, unsigned cs, ulong base) {
  run(mode, "inc; in 8", in8, cs, base);
  run(mode, "dec; in", in32, cs, base);
  run(mode, "in, other size", in_other, cs, base);
  run(mode, "in, other size by two prefixes", in_twice, cs, base);
  run(mode, "in of a constant port", in_port, cs, base);
  run(mode, "out", out_port, cs, base);
  run(mode, "cli; sti", no_interrupts, cs, base);
}

void test_main(void) {
  uint64_t *gdt = page_alloc();
  ulong base = user_address((void *)in8) & ~0xfffful;
  gdt[4] = CODE32;
  gdt[5] = DATA3;
  gdt[6] = CODE32 | (base & 0xffffff) << 16 | (base >> 24) << 56;
  gdt[7] = CODE16 | (base & 0xffffff) << 16 | (base >> 24) << 56;
  must("read-only", make_readonly(gdt));
  ulong frames[1] = {mfn_of(gdt)};
  must("set_gdt", HYPERVISOR_set_gdt(frames, 32));
  all("32 bits, no right", 0x23, 0);
  physdev_set_iopl_t iopl = {.iopl = 3};
  must("set_iopl", HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, &iopl));
  all("32 bits", 0x23, 0);
  all("32 bits with a base", 0x33, base);
  all("16 bits with a base", 0x3b, base);
}
