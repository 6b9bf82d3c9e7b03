/*
 * Rule: a watchpoint does not fire where Xen itself reads or writes the guest's memory: a bounce frame, a
 * hypercall's argument, the bytes behind a ud2 (xen/arch/x86/traps.c do_debug).
 */
#include "test.h"

const char test_title[] = "Watchpoints on what Xen reads and writes";

#define LEN_1 0ul
#define LEN_8 2ul
#define WRITES 1ul
#define ACCESSES 3ul

STUB(interrupt, "int $0x20");
STUB(undefined, "ud2; .ascii \"xem\"");
STUB(forced_cpuid, "ud2; .ascii \"xen\"; cpuid");
STUB(system_call, "syscall");
STUB(fault, "hlt");

static void watch(ulong address, ulong kind, ulong length) {
  must("DR6", HYPERVISOR_set_debugreg(6, 0));
  must("DR0", HYPERVISOR_set_debugreg(0, address));
  must("DR7", HYPERVISOR_set_debugreg(7, 1 | kind << 16 | length << 18));
}

static unsigned unwatch(void) {
  must("DR7", HYPERVISOR_set_debugreg(7, 0));
  return HYPERVISOR_get_debugreg(6) & 0xf;
}

static void user(const char *name, void (*fn)(ulong), ulong address, ulong kind, ulong length) {
  struct regs r;
  watch(address, kind, length);
  catch_user(fn, 0, &r);
  unsigned hit = unwatch();
  print("user, %s: %s +%ld, DR6 %x", name, trap_name(r.vec), (long)(r.rip - user_address((void *)fn)), hit);
}

void test_main(void) {
  ulong frame_ss = (ulong)trap_stack_end - 8;
  user("int, frame", interrupt, frame_ss, WRITES, LEN_8);
  user("hlt, frame", fault, frame_ss, WRITES, LEN_8);
  user("syscall, frame", system_call, frame_ss, WRITES, LEN_8);
  user("ud2, its own bytes", undefined, user_address((void *)undefined), ACCESSES, LEN_1);
  user("ud2, the bytes behind it", undefined, user_address((void *)undefined) + 2, ACCESSES, LEN_1);
  user("forced cpuid, its bytes", forced_cpuid, user_address((void *)forced_cpuid) + 5, ACCESSES, LEN_1);
  user("hlt, its own byte", fault, user_address((void *)fault), ACCESSES, LEN_1);

  static xen_feature_info_t info __attribute__((aligned(8)));
  watch((ulong)&info, ACCESSES, LEN_8);
  long rc = HYPERVISOR_xen_version(XENVER_get_features, &info);
  unsigned hit = unwatch();
  print("a hypercall's argument: %s, DR6 %x", errno_name(rc), hit);

  static multicall_entry_t calls[2];
  calls[0] = (multicall_entry_t){.op = __HYPERVISOR_xen_version};
  calls[1] = (multicall_entry_t){.op = __HYPERVISOR_xen_version};
  watch((ulong)&calls[1].op, ACCESSES, LEN_8);
  rc = HYPERVISOR_multicall(calls, 2);
  hit = unwatch();
  print("a multicall's list: %s, DR6 %x, second call %x", errno_name(rc), hit, (unsigned)calls[1].result);
}
