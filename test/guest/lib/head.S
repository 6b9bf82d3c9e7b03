/* Where the kernel starts: %rsi holds start_info, Xen's own boot stack is left for ours. */
#include "asm.h"

  .section .text.head, "ax"
ENTRY(_start)
  cld
  lea   boot_stack_end(%rip), %rsp
  xor   %ebp, %ebp
  mov   %rsi, %rdi
  call  kernel_start
  ud2

  .section .bss
  .balign 4096
  .globl boot_stack
boot_stack:
  .fill 16384
  .globl boot_stack_end
boot_stack_end:
  /* Xen puts its frames here when it enters the kernel from ring 3. */
  .globl trap_stack
trap_stack:
  .fill 16384
  .globl trap_stack_end
trap_stack_end:
  /* One guard page's worth of zeros after the stack, which frames never reach. */
  .fill 4096
