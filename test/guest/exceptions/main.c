/*
 * Rule: Xen bounces each exception of guest kernel and guest user to the gate of its vector, faults with rip
 * at the instruction and traps with rip after it, with the CPU's error code (xen/arch/x86/traps.c do_trap,
 * do_int3, do_debug, do_general_protection; pv/traps.c pv_inject_event). Not here, since they are the CPU's
 * business and differ by ring or between emulators: #AC, #XM, #SS for a non-canonical stack address, a null
 * SS, rip of a jump to a non-canonical address.
 */
#include "test.h"

const char test_title[] = "Exceptions of both modes";

STUB(divide_by_zero, "xor %eax, %eax; xor %edx, %edx; div %eax");
STUB(divide_overflow, "mov $1, %edx; mov $1, %ecx; xor %eax, %eax; div %ecx");
STUB(icebp, ".byte 0xf1");
STUB(single_step, "pushfq; orl $0x100, (%rsp); popfq; nop; nop");
STUB(breakpoint, "int3");
STUB(int_3, ".byte 0xcd, 3");
STUB(int_4, "int $4");
STUB(undefined, "ud2");
STUB(undefined1, "ud1 %eax, %eax");
STUB(bad_opcode, ".byte 0x06");
STUB(lock_prefix, ".byte 0xf0; nop");
STUB(non_canonical, "movabs $0x8000000000000000, %rax; mov (%rax), %eax");
STUB(load_ds, "mov %edi, %ds");
STUB(load_fs, "mov %edi, %fs");
STUB(far_return, "pushq %rdi; pushq $0; lretq");
STUB(misaligned_sse, "movaps 1(%rsp), %xmm0");
STUB(halt, "hlt");
/* Masks off, then 1/0. The x87 reports at the next waiting instruction. */
STUB(x87_error, "fninit; push $0x33b; fldcw (%rsp); fld1; fldz; fdivrp; fwait; pop %rax");

static const struct {
  const char *name;
  void (*fn)(ulong);
  ulong arg, vec, err;
} cases[] = {
    {"divide by zero", divide_by_zero, 0, DE, 0},
    {"divide overflow", divide_overflow, 0, DE, 0},
    {"icebp", icebp, 0, DB, 0},
    {"single step", single_step, 0, DB, 0},
    {"int3", breakpoint, 0, BP, 0},
    {"int $3", int_3, 0, BP, 0},
    {"int $4", int_4, 0, OF, 0},
    {"ud2", undefined, 0, UD, 0},
    {"ud1", undefined1, 0, UD, 0},
    {"push %es", bad_opcode, 0, UD, 0},
    {"lock nop", lock_prefix, 0, UD, 0},
    {"non-canonical address", non_canonical, 0, GP, 0},
    {"ds past the GDT", load_ds, 0xfff8, GP, 0xfff8},
    {"ds of an empty entry", load_ds, 0x3b, GP, 0x38},
    {"ds of an LDT that is not there", load_ds, 0x7f, GP, 0x7c},
    {"fs past the GDT", load_fs, 0xfff8, GP, 0xfff8},
    {"lret to null", far_return, 0, GP, 0},
    {"movaps misaligned", misaligned_sse, 0, GP, 0},
    {"hlt", halt, 0, GP, 0},
    {"x87 division by zero", x87_error, 0, MF, 0},
};

static void fpu_reset(void) {
  asm volatile("fninit");
}

void test_main(void) {
  for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
    expect_kernel(cases[i].name, cases[i].fn, cases[i].arg, cases[i].vec, cases[i].err);
    fpu_reset();
    expect_user(cases[i].name, cases[i].fn, cases[i].arg, cases[i].vec, cases[i].err);
    fpu_reset();
  }
}
