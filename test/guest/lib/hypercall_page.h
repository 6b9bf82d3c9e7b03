/* Calls through a page of 32-byte stubs, as kernels with a HYPERCALL_PAGE note make them. */
#ifndef LIB_HYPERCALL_PAGE_H
#define LIB_HYPERCALL_PAGE_H

#include "test.h"

static inline long call_page(const void *page, ulong nr, ulong a1, ulong a2, ulong a3, ulong a4) {
  ulong entry = (ulong)page + nr * 32;
  register ulong r10 asm("r10") = a4;
  long rc;
  asm volatile("call *%[entry]"
               : "=a"(rc), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10)
               : [entry] "r"(entry)
               : "rcx", "r11", "r8", "r9", "memory");
  return rc;
}

/* What every such page must do; ends by an iret through it. */
void check_hypercall_page(const uint8_t *page);

#endif
