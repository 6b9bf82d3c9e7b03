/* In place of the library's notes. The page is the image's first: this object is linked first,
 * and kernel.lds puts .text.head at 1 MiB. */
#include "asm.h"

  .section __xen_guest, "a", @progbits
  .ascii "GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,ELF_PADDR_OFFSET=0x0"
  .ascii ",HYPERCALL_PAGE=0x100,FEATURES=!writable_page_tables|pae_pgdir_above_4gb,PAE=yes,LOADER=generic"
  .byte 0

  .section .text.head, "ax"
  .balign 4096
  .globl hypercall_page
hypercall_page:
  .fill 4096, 1, 0x55

  .section .note.GNU-stack, "", @progbits
