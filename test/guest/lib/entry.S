/* Entries from Xen, the way back, and the catch (a setjmp that the next trap jumps to). */
#include "asm.h"
#include <xen/xen.h>

  .text

/* Xen's frame starts with rcx and r11, then an error code where the vector has one (xen/arch-x86/xen-x86_64.h). */
.macro TRAP_STUB vec error
  .balign 16
  pop   %rcx
  pop   %r11
  .if \error == 0
  push  $0
  .endif
  push  $\vec
  jmp   trap_common
.endm

  .balign 16
ENTRY(trap_stubs)
.set vec, 0
.rept 256
  .if vec == 8 || (vec >= 10 && vec <= 14) || vec == 17 || vec == 21 || vec == 29 || vec == 30
  TRAP_STUB vec 1
  .else
  TRAP_STUB vec 0
  .endif
  .set vec, vec + 1
.endr

ENTRY(event_callback)
  TRAP_STUB 0x100 0
ENTRY(syscall_callback)
  TRAP_STUB 0x101 0
/* Four selectors lie between r11 and rip. */
ENTRY(failsafe_callback)
  pop   %rcx
  pop   %r11
  pop   failsafe_selectors + 0(%rip)
  pop   failsafe_selectors + 8(%rip)
  pop   failsafe_selectors + 16(%rip)
  pop   failsafe_selectors + 24(%rip)
  push  $0
  push  $0x102
  jmp   trap_common
ENTRY(sysenter_callback)
  TRAP_STUB 0x103 0
ENTRY(syscall32_callback)
  TRAP_STUB 0x104 0
ENTRY(nmi_callback)
  TRAP_STUB 0x105 0

trap_common:
  cld
  push  %rdi
  push  %rsi
  push  %rdx
  push  %rcx
  push  %rax
  push  %r8
  push  %r9
  push  %r10
  push  %r11
  push  %rbx
  push  %rbp
  push  %r12
  push  %r13
  push  %r14
  push  %r15
  mov   %rsp, %rdi
  mov   %rsp, %rbp
  and   $-16, %rsp
  call  trap_c
  mov   %rbp, %rsp
  pop   %r15
  pop   %r14
  pop   %r13
  pop   %r12
  pop   %rbp
  pop   %rbx
  pop   %r11
  pop   %r10
  pop   %r9
  pop   %r8
  pop   %rax
  pop   %rcx
  pop   %rdx
  pop   %rsi
  pop   %rdi
  add   $16, %rsp
  /* struct iret_context: rax, r11, rcx, flags, then the rest of the frame. */
  push  $0
  push  %rcx
  push  %r11
  push  %rax
  mov   $__HYPERVISOR_iret, %eax
  syscall
  ud2

.macro SAVE_CALLER
  push  %rbx
  push  %rbp
  push  %r12
  push  %r13
  push  %r14
  push  %r15
  mov   %rsp, catch_rsp(%rip)
.endm
.macro RESTORE_CALLER
  pop   %r15
  pop   %r14
  pop   %r13
  pop   %r12
  pop   %rbp
  pop   %rbx
.endm

/* bool catch_kernel_asm(fn, arg) */
ENTRY(catch_kernel_asm)
  SAVE_CALLER
  mov   %rdi, %rax
  mov   %rsi, %rdi
  sub   $8, %rsp
  call  *%rax
  add   $8, %rsp
  RESTORE_CALLER
  xor   %eax, %eax
  ret

/* void catch_iret_asm(const struct regs *, vgcf) */
ENTRY(catch_iret_asm)
  SAVE_CALLER
  push  168(%rdi)           /* ss */
  push  160(%rdi)           /* rsp */
  push  152(%rdi)           /* rflags */
  push  144(%rdi)           /* cs */
  push  136(%rdi)           /* rip */
  push  %rsi                /* flags */
  push  88(%rdi)            /* rcx */
  push  48(%rdi)            /* r11 */
  push  80(%rdi)            /* rax */
  mov   0(%rdi), %r15
  mov   8(%rdi), %r14
  mov   16(%rdi), %r13
  mov   24(%rdi), %r12
  mov   32(%rdi), %rbp
  mov   40(%rdi), %rbx
  mov   56(%rdi), %r10
  mov   64(%rdi), %r9
  mov   72(%rdi), %r8
  mov   96(%rdi), %rdx
  mov   104(%rdi), %rsi
  mov   112(%rdi), %rdi
  mov   $__HYPERVISOR_iret, %eax
  syscall
  ud2

/* The other end of both: the trap has been recorded, go back to who asked. */
ENTRY(catch_return)
  mov   catch_rsp(%rip), %rsp
  RESTORE_CALLER
  mov   $1, %eax
  cld
  ret

/* Where a ring-3 function returns to. */
  .section .user.text, "ax", @progbits
ENTRY(user_return)
  int   $0x20
  ud2

  .section .bss
  .balign 8
  .globl catch_rsp
catch_rsp:
  .quad 0

  .section .note.GNU-stack, "", @progbits
