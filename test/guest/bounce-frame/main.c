/*
 * Rule: the frame of a trap is, upwards: rcx, r11, error code if the vector has one, rip, cs with
 * saved_upcall_mask in bits 32-39, rflags, rsp, ss. Its top is 16-byte aligned. cs of guest kernel shows RPL
 * 0; rflags.IF is the inverse of the saved mask; TF, NT, RF and AC are cleared for the handler. A gate with
 * flag 4 masks upcalls at entry. A trap from user starts at the stack of HYPERVISOR_stack_switch, one from
 * kernel below its own stack pointer (xen/arch/x86/x86_64/entry.S create_bounce_frame).
 */
#include "test.h"

const char test_title[] = "What a bounce frame holds";

STUB(ud2_registers, "mov $0x1111, %ecx; mov $0x2222, %r11d; mov $0x3333, %eax; mov $0x4444, %edx; ud2");
STUB(gp_registers, "mov $0x1111, %ecx; mov $0x2222, %r11d; mov $0x3333, %eax; mov $0x4444, %edx; hlt");
/* arg: how far the stack is moved from its alignment, and the flags to run with. */
STUB(ud2_stack, "mov %rsp, %rax; and $-16, %rsp; sub %rdi, %rsp; mov %rsp, %rsi; ud2; mov %rax, %rsp");
STUB(ud2_flags, "mov $0, %eax; push %rdi; popfq; ud2");
STUB(flags_now, "pushfq; pop %rax");

static uint8_t *mask(void) {
  return &shared_info->vcpu_info[0].evtchn_upcall_mask;
}

static void show(const char *name, const struct regs *r) {
  print("%s: %s cs %x ss %lx saved_upcall_mask %u IF %u", name, trap_name(r->vec), r->cs, r->ss,
        r->saved_upcall_mask, !!(r->rflags & X86_EFLAGS_IF));
  check(r->cs_pad == 0 && r->mask_pad[0] == 0 && r->mask_pad[1] == 0 && r->mask_pad[2] == 0,
        "padding of cs is not zero");
  check(trap_frame_top % 16 == 0, "the frame's top is not aligned");
}

static void run(const char *name, void (*fn)(ulong), ulong arg, struct regs *kernel, struct regs *user) {
  char line[64];
  if (!catch_kernel(fn, arg, kernel)) error("%s did not trap", name);
  format(line, sizeof(line), "kernel, %s", name);
  show(line, kernel);
  check(kernel->rsp >= trap_frame_top && kernel->rsp - trap_frame_top < 16, "frame is not right below rsp");
  catch_user(fn, arg, user);
  format(line, sizeof(line), "user, %s", name);
  show(line, user);
  check(trap_frame_top == (ulong)trap_stack_end, "frame from user does not start at the kernel stack");
}

static void check_registers(const struct regs *r) {
  check(r->rcx == 0x1111 && r->r11 == 0x2222 && r->rax == 0x3333 && r->rdx == 0x4444,
        "registers were changed");
}

static bool at_entry_masked, at_entry_seen;
static ulong at_entry_flags;
static bool see_mask(struct regs *regs) {
  at_entry_masked = *mask();
  at_entry_seen = regs->vec == UD;
  at_entry_flags = read_rflags();
  regs->rip += 2;
  return at_entry_seen;
}

/* What the mask is inside the handler, and after it, for a gate without and with flag 4. */
static void entry_mask(unsigned gate_flags, uint8_t before) {
  set_gate(UD, gate_flags, trap_entry(UD));
  *mask() = before;
  trap_hook = see_mask;
  at_entry_seen = false;
  asm volatile("ud2" : : : "memory");
  trap_hook = NULL;
  if (!at_entry_seen) error("no #UD");
  print("gate flags %u, mask %u: in the handler %u, after it %u", gate_flags, before, at_entry_masked,
        *mask());
  check(at_entry_masked == (before || (gate_flags & 4)), "mask in the handler");
  check(*mask() == before, "mask after the handler");
  *mask() = 1;
  set_gate(UD, 0, trap_entry(UD));
}

void test_main(void) {
  struct regs kernel, user;
  run("no error code", ud2_registers, 0, &kernel, &user);
  check_registers(&kernel);
  check_registers(&user);
  run("error code", gp_registers, 0, &kernel, &user);
  check_registers(&kernel);
  check_registers(&user);

  *mask() = 0;
  run("upcalls open", ud2_registers, 0, &kernel, &user);
  *mask() = 1;

  for (ulong off = 0; off < 16; off += 3) {
    char name[32];
    format(name, sizeof(name), "rsp %% 16 = %lu", (16 - off) % 16);
    run(name, ud2_stack, off, &kernel, &user);
    check(kernel.rsp == kernel.rsi && user.rsp == user.rsi, "rsp in the frame");
  }

  /* Flags that stay visible in the frame. NT does, RF is the CPU's own business. */
  ulong flags = X86_EFLAGS_CF | X86_EFLAGS_DF | X86_EFLAGS_OF | X86_EFLAGS_AC | X86_EFLAGS_ID | X86_EFLAGS_NT;
  run("flags", ud2_flags, flags | 2, &kernel, &user);
  expect_hex("kernel flags", kernel.rflags & flags, flags);
  expect_hex("user flags", user.rflags & flags, flags);

  trap_hook = see_mask;
  asm volatile("pushfq; orl $0x44000, (%%rsp); popfq; ud2; pushfq; andl $~0x44000, (%%rsp); popfq"
               :
               :
               : "memory", "cc");
  trap_hook = NULL;
  expect_hex("NT in the handler", !!(at_entry_flags & X86_EFLAGS_NT), 0);
  expect_hex("AC in the handler", !!(at_entry_flags & X86_EFLAGS_AC), 0);

  for (unsigned gate = 0; gate <= 4; gate += 4)
    for (uint8_t before = 0; before <= 1; before++)
      entry_mask(gate, before);
}
