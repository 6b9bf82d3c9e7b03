/*
 * Rule: `syscall` in ring 3 enters the kernel at CALLBACKTYPE_syscall with a frame that shows rip after the
 * instruction, user cs and ss, rflags with the user's flags, rcx and r11 as the instruction left them (rip
 * and rflags), and every other register. CALLBACKF_mask_events masks upcalls at entry. From kernel mode
 * `syscall` is a hypercall (xen/arch/x86/x86_64/entry.S lstar_enter, switch_to_kernel; pv/callback.c).
 */
#include "test.h"

const char test_title[] = "System calls of guest user";

extern char syscall_callback[], event_callback[], failsafe_callback[];

STUB(do_syscall,
     "mov $0x77, %eax; mov $0x1, %esi; mov $0x2, %edx; mov $0x3, %r10d; mov $0x4, %r8d; mov $0x5, %r9d;"
     "mov $0x6, %ebx; mov $0x7, %ebp; mov $0x8, %r12d; mov $0x9, %r15d; syscall");
STUB(flags_syscall, "push %rdi; popfq; syscall");
/* Three system calls, each adding its number: the kernel comes back by iret with VGCF_in_syscall. */
STUB(three_syscalls,
     "xor %ebx, %ebx; mov $1, %eax; syscall; add %eax, %ebx; mov $2, %eax; syscall; add %eax, %ebx;"
     "mov $3, %eax; syscall; add %eax, %ebx; mov %ebx, %eax");
STUB(hypercall_number, "mov $17, %eax; xor %edi, %edi; syscall");

static uint8_t *mask(void) {
  return &shared_info->vcpu_info[0].evtchn_upcall_mask;
}

static long register_callback(uint16_t type, uint16_t flags, const void *address) {
  struct callback_register op = {.type = type, .flags = flags, .address = (ulong)address};
  return HYPERVISOR_callback_op(CALLBACKOP_register, &op);
}

static void frame(void) {
  struct regs r;
  catch_user(do_syscall, 0xd1, &r);
  print("%s: cs %x ss %lx saved_upcall_mask %u IF %u", trap_name(r.vec), r.cs, r.ss, r.saved_upcall_mask,
        !!(r.rflags & X86_EFLAGS_IF));
  check(r.rax == 0x77 && r.rdi == 0xd1 && r.rsi == 1 && r.rdx == 2 && r.r10 == 3 && r.r8 == 4 && r.r9 == 5,
        "argument registers");
  check(r.rbx == 6 && r.rbp == 7 && r.r12 == 8 && r.r15 == 9, "other registers");
  expect_hex("rcx is rip", r.rcx == r.rip, 1);
  expect_hex("r11 is rflags", (r.r11 ^ r.rflags) & ~X86_EFLAGS_RF, 0);
  expect("rsp is the user's", r.rsp == USER_STACK_TOP - 8, 1);
  expect("frame at the kernel stack", trap_frame_top == (ulong)trap_stack_end, 1);
  print("instruction before rip: %02x %02x", *(uint8_t *)(r.rip - 2), *(uint8_t *)(r.rip - 1));
}

static void flags(void) {
  static const ulong sets[] = {X86_EFLAGS_CF | X86_EFLAGS_OF, X86_EFLAGS_DF, X86_EFLAGS_AC | X86_EFLAGS_ID};
  struct regs r;
  for (unsigned i = 0; i < ARRAY_SIZE(sets); i++) {
    catch_user(flags_syscall, sets[i] | 2, &r);
    print("flags %06lx: %s rflags %06lx r11 %06lx", sets[i] | 2, trap_name(r.vec), r.rflags & ~X86_EFLAGS_RF,
          r.r11 & ~X86_EFLAGS_RF);
  }
}

static uint8_t mask_inside;
static unsigned count;
static bool answer(struct regs *regs) {
  if (regs->vec != SYSCALL_CALLBACK) return false;
  count++;
  mask_inside = *mask();
  regs->rax *= 10;
  return true;
}

static void returns(const char *name) {
  struct regs r;
  count = 0;
  catch_user_hooked(three_syscalls, 0, answer, &r);
  print("%s: %u calls, result %lu, mask inside %u", name, count, r.rax, mask_inside);
}

void test_main(void) {
  frame();
  flags();
  returns("flags 0");
  expect_rc("register with CALLBACKF_mask_events",
            register_callback(CALLBACKTYPE_syscall, CALLBACKF_mask_events, syscall_callback), 0);
  returns("CALLBACKF_mask_events");
  expect_rc("register without", register_callback(CALLBACKTYPE_syscall, 0, syscall_callback), 0);
  returns("flags 0 again");

  /* A hypercall's number means nothing in ring 3. */
  struct regs r;
  catch_user(hypercall_number, 0, &r);
  print("hypercall number in ring 3: %s", trap_name(r.vec));

  say_rc("register an address that is not canonical",
         register_callback(CALLBACKTYPE_syscall, 0, (void *)0x0000900000000000));
  say_rc("register type 99", register_callback(99, 0, syscall_callback));
  say_rc("register event", register_callback(CALLBACKTYPE_event, 0, event_callback));
  say_rc("register failsafe", register_callback(CALLBACKTYPE_failsafe, 0, failsafe_callback));
  struct callback_unregister un = {.type = CALLBACKTYPE_syscall};
  say_rc("unregister syscall", HYPERVISOR_callback_op(CALLBACKOP_unregister, &un));
  un.type = CALLBACKTYPE_event;
  say_rc("unregister event", HYPERVISOR_callback_op(CALLBACKOP_unregister, &un));
  un.type = CALLBACKTYPE_nmi;
  say_rc("unregister nmi", HYPERVISOR_callback_op(CALLBACKOP_unregister, &un));
  un.type = 99;
  say_rc("unregister type 99", HYPERVISOR_callback_op(CALLBACKOP_unregister, &un));
  say_rc("callback_op 99", HYPERVISOR_callback_op(99, &un));
  say_rc("argument that is not mapped", HYPERVISOR_callback_op(CALLBACKOP_register, (void *)USER_SCRATCH));
  say_rc("set_callbacks", HYPERVISOR_set_callbacks(event_callback, failsafe_callback, syscall_callback));
  say_rc("set_callbacks, not canonical",
         HYPERVISOR_set_callbacks(event_callback, 0x0000900000000000, syscall_callback));
}
