/* CPUID by both ways: the instruction itself, and the prefix by which a kernel asks Xen. */
#include "cpuid.h"
#include "dump.h"

#define SUBLEAVES 4

static void dump(const char *way, struct leaf (*cpuid)(uint32_t, uint32_t), uint32_t number) {
  struct leaf first = cpuid(number, 0);
  bool zero = !(first.a | first.b | first.c | first.d);
  if (!zero) print("%s %08x: %08x %08x %08x %08x", way, number, first.a, first.b, first.c, first.d);
  for (uint32_t sub = 1; sub < SUBLEAVES; sub++) {
    struct leaf l = cpuid(number, sub);
    if (memcmp(&l, &first, sizeof(l)) == 0) continue;
    print("%s %08x.%u: %08x %08x %08x %08x", way, number, sub, l.a, l.b, l.c, l.d);
  }
}

/* Leaves without a line are zeros, and subleaves without one are as subleaf 0. */
void dump_cpuid(void) {
  static const struct {
    uint32_t first, count;
  } ranges[] = {{0, 0x30},          {0x40000000, 0x10}, {0x40000100, 0x10}, {0x80000000, 0x30},
                {0x80860000, 0x10}, {0xc0000000, 0x10}, {0xfffffff0, 0x10}};
  for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
    for (uint32_t n = 0; n < ranges[i].count; n++) {
      dump("cpuid", cpuid_forced, ranges[i].first + n);
      dump("cpuid raw", cpuid_native, ranges[i].first + n);
    }
  }
}
