/* The ELF notes of a modern kernel. Like recent Linux: no HYPERCALL_PAGE (see the test of that name). */
#include "asm.h"
#include <xen/elfnote.h>

XEN_NOTE(XEN_ELFNOTE_GUEST_OS, .asciz "xenner-test")
XEN_NOTE(XEN_ELFNOTE_GUEST_VERSION, .asciz "1")
XEN_NOTE(XEN_ELFNOTE_XEN_VERSION, .asciz "xen-3.0")
XEN_NOTE(XEN_ELFNOTE_VIRT_BASE, .quad VIRT_BASE)
XEN_NOTE(XEN_ELFNOTE_PADDR_OFFSET, .quad 0)
XEN_NOTE(XEN_ELFNOTE_ENTRY, .quad _start)
XEN_NOTE(XEN_ELFNOTE_FEATURES, .asciz "!writable_page_tables|pae_pgdir_above_4gb")
XEN_NOTE(XEN_ELFNOTE_PAE_MODE, .asciz "yes")
XEN_NOTE(XEN_ELFNOTE_LOADER, .asciz "generic")
XEN_NOTE(XEN_ELFNOTE_SUSPEND_CANCEL, .long 1)
