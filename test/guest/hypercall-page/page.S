#include "asm.h"
#include <xen/elfnote.h>

XEN_NOTE(XEN_ELFNOTE_HYPERCALL_PAGE, .quad hypercall_page)

  .text
  .balign 4096
  .globl hypercall_page
hypercall_page:
  .fill 4096, 1, 0x55

  .section .note.GNU-stack, "", @progbits
