/* For assembly files only. */
#ifndef LIB_ASM_H
#define LIB_ASM_H

#define __ASSEMBLY__ 1

/* clang-format off */
#define ENTRY(name) \
  .globl name; \
  .type name, @function; \
  name:

/* One ELF note for Xen's domain builder. */
#define XEN_NOTE(type, desc...) \
  .pushsection .note.Xen, "a", @note; \
  .balign 4; \
  .long 2f - 1f, 4f - 3f, type; \
  1:.asciz "Xen"; \
  2:.balign 4; \
  3:desc; \
  4:.balign 4; \
  .popsection
/* clang-format on */

#endif
