/* Instructions that a debugger is to stand on. */
#include "../../guest/lib/asm.h"

  .text
/* HYPERVISOR_xen_version(0, 0) */
ENTRY(call_xen)
  mov   $17, %eax
  xor   %edi, %edi
  .globl call_xen_syscall, call_xen_after
call_xen_syscall:
  syscall
call_xen_after:
  ret

/* PUSHF and POPF show the trap flag to whoever looks: returns what was pushed. */
ENTRY(flags_pushed)
  pushfq
  pop   %rax
  push  %rax
  popfq
  ret

/* A store through a page that is not there, once: its #PF maps it. */
ENTRY(touch)
  movl  $1, (%rdi)
  .globl touch_after
touch_after:
  ret

/* Until `released` is not 0; the registers show where it is. */
ENTRY(spin)
  xor   %ecx, %ecx
1:
  inc   %rcx
  cmpl  $0, released(%rip)
  je    1b
  .globl spin_end
spin_end:
  ret

  .section .user.text, "ax", @progbits
/* Ring 3: rdi + 1, by way of a system call. */
ENTRY(user_code)
  lea   1(%rdi), %rbx
  .globl user_syscall
user_syscall:
  syscall
  mov   %rbx, %rax
  int   $0x20
