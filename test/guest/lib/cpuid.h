/* CPUID by both ways: the prefix by which a kernel asks Xen, and the instruction itself. */
#pragma once
#include <stdint.h>

struct leaf {
  uint32_t a, b, c, d;
};

static inline struct leaf cpuid_forced(uint32_t leaf, uint32_t sub) {
  struct leaf l;
  asm volatile("ud2; .ascii \"xen\"; cpuid"
               : "=a"(l.a), "=b"(l.b), "=c"(l.c), "=d"(l.d)
               : "0"(leaf), "2"(sub));
  return l;
}

static inline struct leaf cpuid_native(uint32_t leaf, uint32_t sub) {
  struct leaf l;
  asm volatile("cpuid" : "=a"(l.a), "=b"(l.b), "=c"(l.c), "=d"(l.d) : "0"(leaf), "2"(sub));
  return l;
}
