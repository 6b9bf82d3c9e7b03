#include "breaker.h"
#include "vcpu_area.h"
#include <stddef.h>

#define PAGE_SIZE 4096ul
#define NR_XEN_FRAMES 512
/* Of any vCPU. */
#define BLOCK (MONITOR_VA + BLOCK_OFFSET(below(nr_vcpus)))
#define AREA (BLOCK + BLOCK_VCPU_AREA)
#define NR_PLACES 10

ulong nr_vcpus = 1;

static ulong word_of(ulong at, ulong size) {
  return at + below(size / 8) * 8;
}

ulong any_place(ulong nr_pages, ulong l4_mfn) {
  const ulong counters = offsetof(struct vcpu_area, counters), xen = DIRECT_VA + nr_pages * PAGE_SIZE;
  switch (below(NR_PLACES)) {
  case 0:
    return word_of(MONITOR_VA + DOMAIN_AREA, sizeof(struct domain_area));
  case 1: /* and the trap handlers */
    return word_of(AREA + counters, sizeof(struct vcpu_area) - counters);
  case 2: /* TSS, stub, stacks */
    return word_of(BLOCK, BLOCK_SIZE);
  case 3:
    return word_of(GDT_VA, BLOCK_SIZE);
  case 4: /* page types, M2P, tables of the hole, shared_info */
    return word_of(xen, NR_XEN_FRAMES * PAGE_SIZE);
  case 5:
    return word_of(DIRECT_VA + l4_mfn * PAGE_SIZE, PAGE_SIZE);
  case 6:
    return word_of(MONITOR_VA + IDT_OFFSET, PAGE_SIZE);
  case 7: /* the monitor's code, which is read-only where it runs */
    return word_of(xen, MONITOR_TEXT_MAX);
  default:
    return word_of(AREA, counters);
  }
}

uint64_t any_value(void) {
  const uint64_t some[] = {0,
                           1,
                           ~0ul,
                           1ul << 63,
                           MONITOR_VA,
                           AREA,
                           BLOCK + BLOCK_STACK_TOP,
                           GDT_VA,
                           LDT_VA,
                           DIRECT_VA,
                           DIRECT_VA + (64ul << 20),
                           HOLE_START,
                           HOLE_END,
                           0x0000800000000000,
                           0xffffffff80000000,
                           64ul << 20,
                           (1ul << 40) - 1};
  switch (below(5)) {
  case 0:
    return draw();
  case 1:
    return below(16);
  case 2:
    return below(1ul << 26);
  case 3:
    return 1ul << below(64);
  default:
    return PICK(some) + (one_in(4) ? below(4096) : 0);
  }
}
