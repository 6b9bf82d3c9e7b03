/*
 * Rule: HYPERVISOR_iret takes rax, r11, rcx, flags, rip, cs, rflags, rsp, ss from the stack. cs with RPL 3
 * goes to user mode, any other to kernel mode. rflags.IF becomes the inverse of the upcall mask and IF itself
 * stays set; IOPL cannot be changed. Without VGCF_in_syscall rcx and r11 come from the frame, with it they
 * are lost as by sysret. What the CPU refuses in the new context is a fault of that context
 * (xen/arch/x86/pv/iret.c do_iret, x86_64/entry.S restore_all_guest).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_iret";

/* Ends in a trap in either mode: the registers at it are what the iret made. */
STUB(arrive, "int $0x20");
STUB(arrive_flags, "pushfq; pop %rax; int $0x20");
STUB(nops, "nop; nop; int $0x20");

static uint8_t kernel_stack[PAGE_SIZE] __attribute__((aligned(16)));

static uint8_t *mask(void) {
  return &shared_info->vcpu_info[0].evtchn_upcall_mask;
}

static struct regs context(bool user, void (*fn)(ulong)) {
  struct regs c = {.rflags = 2, .rax = 0xa0, .rcx = 0xc0, .r11 = 0x1100, .rbx = 0xb0, .r15 = 0x1500};
  c.rip = user ? user_address((void *)fn) : (ulong)fn;
  c.cs = user ? FLAT_USER_CS64 : FLAT_KERNEL_CS64 & ~3;
  c.ss = user ? FLAT_USER_SS64 : FLAT_KERNEL_SS64;
  c.rsp = user ? USER_STACK_TOP : (ulong)kernel_stack + PAGE_SIZE;
  return c;
}

static const char *mode_name(bool user) {
  return user ? "user" : "kernel";
}

static void registers(bool user, ulong vgcf) {
  struct regs c = context(user, arrive), r;
  catch_iret(&c, vgcf, &r);
  print("%s, flags %lx: %s cs %x ss %lx", mode_name(user), vgcf, trap_name(r.vec), r.cs, r.ss);
  check(r.rip == c.rip + 2 && r.rsp == c.rsp, "rip or rsp");
  check(r.rax == c.rax && r.rbx == c.rbx && r.r15 == c.r15, "rax, rbx or r15");
  if (vgcf & VGCF_in_syscall)
    print("rcx is rip: %d, r11 is rflags: %d", r.rcx == c.rip, (r.r11 & ~0x200ul) == 2);
  else
    check(r.rcx == c.rcx && r.r11 == c.r11, "rcx %lx or r11 %lx", r.rcx, r.r11);
}

/* The flags as the target has them, and as its next frame shows them. RF there depends on how `int` was
 * handled. */
static void flags(bool user, ulong rflags) {
  struct regs c = context(user, arrive_flags), r;
  c.rflags = rflags;
  catch_iret(&c, 0, &r);
  print("%s, rflags %06lx: pushf %06lx, frame %06lx, saved_upcall_mask %u", mode_name(user), rflags, r.rax,
        r.rflags & ~X86_EFLAGS_RF, r.saved_upcall_mask);
  check(r.saved_upcall_mask == !(rflags & X86_EFLAGS_IF), "upcall mask");
}

static void selector(const char *name, bool user, ulong cs, ulong ss) {
  struct regs c = context(user, arrive), r;
  c.cs = (uint16_t)cs;
  c.ss = ss;
  catch_iret(&c, 0, &r);
  if (trap_has_error_code(r.vec))
    print("%s: %s[%04lx] +%ld", name, trap_name(r.vec), r.err, (long)(r.rip - c.rip));
  else
    print("%s: %s cs %x ss %lx", name, trap_name(r.vec), r.cs, r.ss);
}

static void step(bool user) {
  struct regs c = context(user, nops), r;
  c.rflags |= X86_EFLAGS_TF;
  catch_iret(&c, 0, &r);
  print("%s, TF: %s +%ld", mode_name(user), trap_name(r.vec), (long)(r.rip - c.rip));
}

/* Resuming a trap with the mask changed in its frame. */
static bool open_upcalls(struct regs *regs) {
  regs->rip += 2;
  regs->rflags ^= X86_EFLAGS_IF;
  return true;
}

void test_main(void) {
  for (unsigned user = 0; user <= 1; user++) {
    registers(user, 0);
    registers(user, VGCF_in_syscall);
  }
  for (unsigned user = 0; user <= 1; user++) {
    flags(user, 2);
    flags(user, X86_EFLAGS_IF | 2);
    flags(user, X86_EFLAGS_IF | X86_EFLAGS_IOPL | 2);
    flags(user, X86_EFLAGS_IF | X86_EFLAGS_CF | X86_EFLAGS_DF | X86_EFLAGS_OF | 2);
    flags(user, X86_EFLAGS_IF | X86_EFLAGS_NT | X86_EFLAGS_AC | X86_EFLAGS_ID | 2);
    step(user);
  }

  selector("kernel, cs e031", false, 0xe031, FLAT_KERNEL_SS64);
  selector("kernel, cs e032", false, 0xe032, FLAT_KERNEL_SS64);
  selector("kernel, ss e028", false, 0xe030, 0xe028);
  selector("kernel, ss 0", false, 0xe030, 0);
  selector("user, ss e02b", true, FLAT_USER_CS64, 0xe02b);
  selector("user, ss 0", true, FLAT_USER_CS64, 0);
  selector("user, cs of data", true, 0xe02b, FLAT_USER_SS64);
  selector("user, cs past the GDT", true, 0xfffb, FLAT_USER_SS64);
  selector("user, cs of an empty entry", true, 0x3b, FLAT_USER_SS64);
  selector("user, ss of an empty entry", true, FLAT_USER_CS64, 0x3b);
  selector("user, ss past the GDT", true, FLAT_USER_CS64, 0xfffb);
  selector("user, ss of code", true, FLAT_USER_CS64, 0xe033);

  trap_hook = open_upcalls;
  *mask() = 1;
  asm volatile("ud2" : : : "memory");
  expect("mask, after a frame with IF set", *mask(), 0);
  asm volatile("ud2" : : : "memory");
  expect("mask, after a frame with IF clear", *mask(), 1);
}
