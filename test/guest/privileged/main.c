/*
 * Rule: privileged instructions fault in the guest's ring; Xen emulates those a PV kernel may use and bounces
 * #GP or #UD for the rest. In ring 3 all of them fault (xen/arch/x86/pv/emul-priv-op.c).
 */
#include "test.h"

const char test_title[] = "Privileged instructions";

STUB(i_cli, "cli");
STUB(i_sti, "sti");
STUB(i_hlt, "hlt");
STUB(i_in, "mov $0x4444, %edx; in %dx, %al");
STUB(i_in16, "mov $0x4444, %edx; in %dx, %ax");
STUB(i_in32, "mov $0x4444, %edx; in %dx, %eax");
STUB(i_out, "mov $0x4444, %edx; mov $1, %eax; out %al, %dx");
STUB(i_out32, "mov $0x4444, %edx; mov $1, %eax; out %eax, %dx");
STUB(i_clts, "clts");
STUB(i_invlpg, "invlpg (%rsp)");
STUB(i_lgdt, "sub $16, %rsp; lgdt (%rsp)");
STUB(i_lidt, "sub $16, %rsp; lidt (%rsp)");
STUB(i_lldt, "xor %eax, %eax; lldt %ax");
STUB(i_ltr, "xor %eax, %eax; ltr %ax");
STUB(i_lmsw, "mov $0x3b, %eax; lmsw %ax");
STUB(i_swapgs, "swapgs");
STUB(i_sysret, "sysretq");
STUB(i_rdtsc, "rdtsc");
STUB(i_rsm, "rsm");
STUB(i_vmcall, "vmcall");
STUB(i_rdmsr_bad, "mov $0x12345, %ecx; rdmsr");
STUB(i_rdmsr_efer, "mov $0xc0000080, %ecx; rdmsr");
STUB(i_wrmsr_bad, "mov $0x12345, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr");
STUB(i_cr0, "mov %cr0, %rax");
STUB(i_cr2, "mov %cr2, %rax");
STUB(i_cr3, "mov %cr3, %rax");
STUB(i_cr4, "mov %cr4, %rax");
STUB(i_dr0, "mov %db0, %rax");
STUB(i_dr7, "mov %db7, %rax");
STUB(i_popf_if, "pushfq; andl $~0x200, (%rsp); popfq; pushfq; pop %rax");
STUB(i_popf_iopl, "pushfq; orl $0x3000, (%rsp); popfq; pushfq; pop %rax");

struct instruction {
  const char *name;
  void (*fn)(ulong);
  ulong kernel, user;
};

/* The vector Xen bounces, NO_TRAP when it emulates. */
static const struct instruction always[] = {
    {"hlt", i_hlt, GP, GP},
    {"clts", i_clts, NO_TRAP, GP},
    {"invlpg", i_invlpg, GP, GP},
    {"lgdt", i_lgdt, GP, GP},
    {"lidt", i_lidt, GP, GP},
    {"lldt", i_lldt, GP, GP},
    {"ltr", i_ltr, GP, GP},
    {"lmsw", i_lmsw, GP, GP},
    {"swapgs", i_swapgs, GP, GP},
    {"sysret", i_sysret, GP, GP},
    {"rdtsc", i_rdtsc, NO_TRAP, NO_TRAP},
    {"rdmsr of no register", i_rdmsr_bad, GP, GP},
    {"rdmsr EFER", i_rdmsr_efer, NO_TRAP, GP},
    {"wrmsr of no register", i_wrmsr_bad, GP, GP},
    {"read cr0", i_cr0, NO_TRAP, GP},
    {"read cr2", i_cr2, NO_TRAP, GP},
    {"read cr3", i_cr3, NO_TRAP, GP},
    {"read cr4", i_cr4, NO_TRAP, GP},
    {"read dr0", i_dr0, NO_TRAP, GP},
    {"read dr7", i_dr7, NO_TRAP, GP},
    {"vmcall", i_vmcall, UD, UD},
    {"rsm", i_rsm, UD, UD},
};

/* The same, that depend on iopl. */
static const struct instruction by_iopl[] = {
    {"cli", i_cli, GP, GP},      {"sti", i_sti, GP, GP},    {"in 8", i_in, GP, GP},
    {"in 16", i_in16, GP, GP},   {"in 32", i_in32, GP, GP}, {"out 8", i_out, GP, GP},
    {"out 32", i_out32, GP, GP},
};

static void values(void) {
  struct regs r;
  ulong value;
  asm volatile("mov $0x4444, %%edx; xor %%eax, %%eax; in %%dx, %%al" : "=a"(value) : : "rdx");
  expect_hex("in 8 of nothing", value, 0xff);
  asm volatile("mov $0x4444, %%edx; xor %%eax, %%eax; in %%dx, %%ax" : "=a"(value) : : "rdx");
  expect_hex("in 16 of nothing", value, 0xffff);
  asm volatile("mov $0x4444, %%edx; mov $0, %%rax; in %%dx, %%eax" : "=a"(value) : : "rdx");
  expect_hex("in 32 of nothing", value, 0xffffffff);
  /* cli and popf change neither IF nor the upcall mask. */
  uint8_t *mask = &shared_info->vcpu_info[0].evtchn_upcall_mask;
  uint8_t before = *mask;
  asm volatile("cli; pushfq; pop %0; sti" : "=r"(value));
  expect_hex("IF after cli", !!(value & X86_EFLAGS_IF), 1);
  expect("upcall mask after cli and sti", *mask, before);
  catch_user(i_popf_if, 0, &r);
  expect_hex("IF after popf in user", !!(r.rax & X86_EFLAGS_IF), 1);
  catch_user(i_popf_iopl, 0, &r);
  expect_hex("IOPL after popf in user", r.rax & X86_EFLAGS_IOPL, 0);
  asm volatile("pushfq; andl $~0x200, (%%rsp); popfq; pushfq; pop %0" : "=r"(value));
  expect_hex("IF after popf in kernel", !!(value & X86_EFLAGS_IF), 1);
}

static void run(const struct instruction *i, ulong kernel, ulong user) {
  expect_kernel(i->name, i->fn, 0, kernel, 0);
  expect_user(i->name, i->fn, 0, user, 0);
}

static void with_iopl(unsigned iopl, ulong kernel, ulong user) {
  physdev_set_iopl_t op = {.iopl = iopl};
  char name[16];
  format(name, sizeof(name), "iopl %u", iopl);
  expect_rc(name, HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, &op), 0);
  for (unsigned i = 0; i < ARRAY_SIZE(by_iopl); i++)
    run(&by_iopl[i], kernel, user);
}

void test_main(void) {
  for (unsigned i = 0; i < ARRAY_SIZE(always); i++)
    run(&always[i], always[i].kernel, always[i].user);
  print("iopl as a domain starts with it");
  for (unsigned i = 0; i < ARRAY_SIZE(by_iopl); i++)
    run(&by_iopl[i], GP, GP);
  with_iopl(3, NO_TRAP, NO_TRAP);
  with_iopl(1, NO_TRAP, GP);
  values();
  physdev_set_iopl_t op = {.iopl = 4};
  say_rc("iopl 4", HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, &op));
}
