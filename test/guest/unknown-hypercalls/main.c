/*
 * Rule: a hypercall number that Xen does not have is -ENOSYS, also far past the table, and changes no
 * register but the result, rcx and r11 (xen/arch/x86/pv/hypercall.c pv_hypercall; argument registers are
 * clobbered in debug builds only).
 */
#include "test.h"

const char test_title[] = "Hypercalls that do not exist";

void test_main(void) {
  static const ulong numbers[] = {11,         43,          44,          45,   46,       47,
                                  55,         56,          63,          64,   1000,     0x7fffffff,
                                  0xffffffff, 0x100000000, 0x100000011, ~0ul, 1ul << 63};
  char name[64];
  for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
    format(name, sizeof(name), "hypercall %lx", numbers[i]);
    say_rc(name, HYPERCALL_0(numbers[i]));
  }
  ulong rax = 63, rbx = 1, rbp_copy, r9, r12 = 4;
  asm volatile("mov $9, %%r9; mov %4, %%r12; syscall; mov %%r9, %2; mov %%rbp, %3; mov %%r12, %4"
               : "+a"(rax), "+b"(rbx), "=r"(r9), "=r"(rbp_copy), "+r"(r12)
               :
               : "rcx", "r11", "r8", "r9", "r10", "r12", "rdi", "rsi", "rdx", "memory");
  say_rc("the result", (long)rax);
  check(rbx == 1 && r9 == 9 && r12 == 4, "registers: rbx %lx r9 %lx r12 %lx", rbx, r9, r12);
  check(rbp_copy == (ulong)__builtin_frame_address(0), "rbp has changed");
}
