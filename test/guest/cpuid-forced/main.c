/*
 * Rule: `ud2; .ascii "xen"; cpuid` is cpuid as Xen answers it, with its own leaves at 0x40000000; rip goes on
 * after it. With any other signature or instruction the ud2 is a ud2 (xen/arch/x86/pv/emul-inv-op.c
 * emulate_forced_invalid_op, xen/include/public/arch-x86/cpuid.h).
 */
#include "cpuid.h"
#include "test.h"

const char test_title[] = "Forced-emulation cpuid";

STUB(other_signature, "ud2; .ascii \"xem\"; cpuid");
STUB(other_instruction, "ud2; .ascii \"xen\"; rdtsc");
STUB(wide_registers, "mov $-1, %rax; mov $-1, %rbx; mov $-1, %rcx; mov $-1, %rdx; mov $0x40000000, %eax;"
                     "ud2; .ascii \"xen\"; cpuid; int $0x20");
STUB(in_user, "mov $0x40000000, %eax; ud2; .ascii \"xen\"; cpuid; int $0x20");
STUB(native_in_user, "mov $0, %eax; cpuid; int $0x20");

static void vendor(char *out, const struct leaf *l) {
  memcpy(out, &l->b, 4);
  memcpy(out + 4, &l->c, 4);
  memcpy(out + 8, &l->d, 4);
  out[12] = 0;
}

void test_main(void) {
  char text[16], other[16];
  struct leaf l = cpuid_forced(0x40000000, 0);
  vendor(text, &l);
  print("0x40000000: %s", text);
  check(l.a >= 0x40000002 && l.a < 0x40000100, "highest leaf is %x", l.a);
  l = cpuid_forced(0x40000001, 0);
  expect_hex("0x40000001 is XENVER_version", l.a, (uint64_t)HYPERVISOR_xen_version(XENVER_version, NULL));
  l = cpuid_forced(0x40000002, 0);
  expect_hex("0x40000002: hypercall pages", l.a, 1);
  expect_hex("0x40000002: PRESERVE_AD feature", l.c & 1, 1);

  struct leaf f = cpuid_forced(0, 0), n = cpuid_native(0, 0);
  vendor(text, &f);
  vendor(other, &n);
  check(memcmp(text, other, 12) == 0, "vendor %s by force, %s natively", text, other);
  l = cpuid_forced(1, 0);
  /* What no PV guest may see: PSE and PGE; and what every one needs: FPU, TSC, MSR, PAE, CX8, FXSR, SSE2.
   */
  print("leaf 1 edx: PSE %u PGE %u", l.d >> 3 & 1, l.d >> 13 & 1);
  expect_hex("leaf 1 edx, needed", l.d & 0x5000171, 0x5000171);
  expect_hex("leaf 1 ecx, hypervisor", l.c >> 31, 1);
  l = cpuid_forced(0x80000001, 0);
  print("leaf 80000001 edx: SYSCALL %u NX %u LM %u", l.d >> 11 & 1, l.d >> 20 & 1, l.d >> 29 & 1);
  l = cpuid_forced(7, 0);
  print("leaf 7 ebx: SMEP %u INVPCID %u SMAP %u", l.b >> 7 & 1, l.b >> 10 & 1, l.b >> 20 & 1);

  expect_kernel("signature \"xem\"", other_signature, 0, UD, 0);
  expect_kernel("another instruction", other_instruction, 0, UD, 0);
  struct regs r;
  if (!catch_kernel(wide_registers, 0, &r)) error("no trap");
  print("%s, upper halves: %lx %lx %lx %lx", trap_name(r.vec), r.rax >> 32, r.rbx >> 32, r.rcx >> 32,
        r.rdx >> 32);
  catch_user(in_user, 0, &r);
  print("in user: %s, ebx is %s", trap_name(r.vec),
        (uint32_t)r.rbx == 0x566e6558 ? "XenV" : "something else");
  catch_user(native_in_user, 0, &r);
  print("native in user: %s, ebx is %s", trap_name(r.vec),
        (uint32_t)r.rbx == n.b ? "the kernel's" : "another");
}
