/*
 * Rule: `int n` passes when the gate's DPL allows it: 1 or more from guest kernel, 3 from guest user; rip is
 * then after the instruction and there is no error code. Otherwise it is #GP with error code n * 8 + 2 and
 * rip at the instruction (xen/arch/x86/traps.c do_general_protection, x86_emulate.h permit_softint). `int
 * $0x80` goes by a way of its own (x86_64/entry.S int80_direct_trap) with the same result. int3 and int $4
 * ask no DPL.
 */
#include "test.h"

const char test_title[] = "int n against the DPL of gates";

STUB(int_40, "int $0x40");
STUB(int_80, "int $0x80");
STUB(int_82, "int $0x82");
STUB(int_ff, "int $0xff");
STUB(int_6, "int $6");
STUB(breakpoint, "int3");
STUB(int_4, "int $4");

struct vector {
  const char *name;
  void (*fn)(ulong);
  unsigned vec;
};

static const struct vector vectors[] = {
    {"int 40", int_40, 0x40}, {"int 82", int_82, 0x82}, {"int ff", int_ff, 0xff}, {"int 6", int_6, 6}};
static const struct vector open_to_all[] = {
    {"int3", breakpoint, BP}, {"int $4", int_4, OF}, {"int 80", int_80, 0x80}};

static void gate_dpl(unsigned vec, unsigned dpl) {
  set_gate(vec, dpl, trap_entry(vec));
}

void test_main(void) {
  char name[64];
  for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++) {
    unsigned vec = vectors[i].vec;
    for (unsigned dpl = 0; dpl <= 3; dpl++) {
      format(name, sizeof(name), "%s, DPL %u", vectors[i].name, dpl);
      gate_dpl(vec, dpl);
      bool kernel_ok = dpl >= 1, user_ok = dpl == 3;
      expect_kernel(name, vectors[i].fn, 0, kernel_ok ? vec : GP, vec * 8 + 2);
      expect_user(name, vectors[i].fn, 0, user_ok ? vec : GP, vec * 8 + 2);
    }
    gate_dpl(vec, 0);
  }
  for (unsigned i = 0; i < ARRAY_SIZE(open_to_all); i++) {
    unsigned vec = open_to_all[i].vec;
    for (unsigned dpl = 0; dpl <= 3; dpl++) {
      format(name, sizeof(name), "%s, DPL %u", open_to_all[i].name, dpl);
      gate_dpl(vec, dpl);
      expect_kernel(name, open_to_all[i].fn, 0, vec, 0);
      expect_user(name, open_to_all[i].fn, 0, vec, 0);
    }
  }
}
