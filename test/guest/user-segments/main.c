/*
 * Rule: user mode may run on the guest's own descriptors: 64-bit code, 32-bit code (compatibility mode), data
 * with a base. Traps show the selectors it used, and compatibility mode comes and goes by iret alone
 * (xen/arch/x86/pv/iret.c; Linux keeps 64-bit user code at 0x33, 32-bit at 0x23, data at 0x2b).
 */
#include "test.h"

const char test_title[] = "User mode on the guest's own segments";

#define CODE32 0x00cffb000000fffful
#define DATA3 0x00cff3000000fffful
#define CODE64 0x00affb000000fffful

STUB(arrive, "int $0x20");
STUB(fault, "hlt");
/* The same bytes in both modes: 48 is `dec %eax` in compatibility mode, a REX prefix in 64-bit mode. */
STUB(which_mode, "mov $5, %eax; .byte 0x48, 0x90; int $0x20");
STUB(compat_fault, ".byte 0x8b, 0x07"); /* mov (%edi), %eax */
STUB(compat_int80,
     ".byte 0xb8, 7, 0, 0, 0; int $0x80; .byte 0x40; int $0x20"); /* mov $7, %eax ... inc %eax */
STUB(read_fs, "mov %edi, %fs; mov %fs:0, %eax; int $0x20");
STUB(selectors, "mov %ds, %eax; mov %es, %ecx; int $0x20");
STUB(set_selectors, "mov %edi, %ds; mov %edi, %es; int $0x20");
STUB(push_in_compat, "push %rdi; pop %rsi; int $0x20");

static struct regs run(void (*fn)(ulong), ulong cs, ulong arg) {
  struct regs context = {.rip = user_address((void *)fn),
                         .cs = (uint16_t)cs,
                         .rflags = X86_EFLAGS_IF | 2,
                         .rsp = USER_STACK_TOP - 64,
                         .ss = 0x2b,
                         .rdi = arg};
  struct regs r;
  catch_iret(&context, 0, &r);
  return r;
}

static void say(const char *name, const struct regs *r) {
  if (trap_has_error_code(r->vec))
    print("%s: %s[%lx] cs %x ss %lx", name, trap_name(r->vec), r->err, r->cs, r->ss);
  else
    print("%s: %s cs %x ss %lx", name, trap_name(r->vec), r->cs, r->ss);
}

static bool answer(struct regs *regs) {
  if (regs->vec != 0x80) return false;
  print("int 80 from compatibility mode: rax %lx cs %x", regs->rax, regs->cs);
  regs->rax *= 2;
  return true;
}

void test_main(void) {
  uint64_t *gdt = page_alloc();
  gdt[4] = CODE32;
  gdt[5] = DATA3;
  gdt[6] = CODE64;
  gdt[12] = DATA3 | (USER_SCRATCH & 0xffffff) << 16;
  must("read-only", make_readonly(gdt));
  ulong frames[1] = {mfn_of(gdt)};
  must("set_gdt", HYPERVISOR_set_gdt(frames, 32));
  set_gate(0x80, 3, trap_entry(0x80));
  uint64_t *page = page_alloc();
  page[0] = 0x715;
  must("map", set_l1e(USER_SCRATCH, ((uint64_t)mfn_of(page) << PAGE_SHIFT) | PTE_USER));

  struct regs r = run(arrive, 0x33, 0);
  say("64-bit", &r);
  r = run(fault, 0x33, 0);
  say("64-bit, hlt", &r);
  r = run(which_mode, 0x33, 0);
  expect_hex("64-bit: rax", r.rax, 5);
  r = run(arrive, 0x23, 0);
  say("compatibility", &r);
  r = run(which_mode, 0x23, 0);
  expect_hex("compatibility: rax", r.rax, 4);
  r = run(fault, 0x23, 0);
  say("compatibility, hlt", &r);
  r = run(compat_fault, 0x23, USER_SCRATCH + PAGE_SIZE);
  say("compatibility, load of nothing", &r);
  expect_hex("CR2", trap_cr2 == USER_SCRATCH + PAGE_SIZE, 1);
  r = run(push_in_compat, 0x23, 0x11112222);
  expect_hex("compatibility: pushed and popped", r.rsi, 0x11112222);
  expect_hex("rsp is 64-byte below the top", USER_STACK_TOP - r.rsp, 64);

  catch_hook = answer;
  r = run(compat_int80, 0x23, 0);
  catch_hook = NULL;
  expect_hex("after int 80 and inc", r.rax, 15);

  r = run(read_fs, 0x33, 0x63);
  print("by fs with a base: %s %lx", trap_name(r.vec), r.rax);
  run(set_selectors, 0x33, 0x2b);
  r = run(selectors, 0x33, 0);
  expect_hex("ds stays", r.rax & 0xffff, 0x2b);
  expect_hex("es stays", r.rcx & 0xffff, 0x2b);
}
