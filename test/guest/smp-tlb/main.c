/*
 * Rule: after MMUEXT_INVLPG_MULTI, _INVLPG_ALL, _TLB_FLUSH_MULTI or _TLB_FLUSH_ALL no vCPU of its set uses
 * what its TLB had of the page, or of any page; also if one batch asks for several (xen/arch/x86/mm.c
 * do_mmuext_op).
 */
#include "vcpu1.h"

const char test_title[] = "TLBs of several vCPUs";

#define PAGES 3
#define ROUNDS 40
/* An address of more than 32 bits, by the same L2 table. */
#define GIB_UP 5
#define HIGH (USER_SCRATCH + ((ulong)GIB_UP << 30))

static uint64_t *frames[2][PAGES];
static volatile unsigned round_number, changing, seen, stale, done;

static volatile uint64_t *at(unsigned page) {
  return (volatile uint64_t *)(HIGH + page * PAGE_SIZE);
}

/* Reads all pages all the time, so that its TLB has them. */
static void second(void) {
  for (unsigned last = 0; !done;) {
    unsigned now = round_number, wrong = 0;
    for (unsigned page = 0; page < changing; page++)
      wrong += *at(page) != (now & 1);
    if (now == last) continue;
    stale += wrong;
    last = now;
    seen = now;
  }
  for (;;)
    asm volatile("pause");
}

static void map(unsigned which, unsigned pages) {
  for (unsigned page = 0; page < pages; page++)
    must("map", set_pte(pte_of((ulong)at(page), 1),
                        (uint64_t)mfn_of(frames[which][page]) << PAGE_SHIFT | PTE_KERNEL));
}

/* Changes that many pages, and flushes. */
static void rounds(const char *name, unsigned pages, const struct mmuext_op *ops, unsigned count) {
  map(round_number & 1, PAGES);
  must("flush", mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0));
  changing = pages;
  stale = 0;
  for (unsigned i = 0; i < ROUNDS; i++) {
    map((round_number + 1) & 1, pages);
    must(name, HYPERVISOR_mmuext_op((void *)ops, count, NULL, DOMID_SELF));
    round_number++;
    wait_until(&seen, round_number);
  }
  print("%s: %u stale", name, stale);
}

void test_main(void) {
  static const ulong both = 3;
  must("alias", set_pte(pte_of(USER_SCRATCH, 3) + GIB_UP, *pte_of(USER_SCRATCH, 3)));
  for (unsigned i = 0; i < 2 * PAGES; i++) {
    frames[i & 1][i / 2] = page_alloc();
    *frames[i & 1][i / 2] = i & 1;
  }
  map(0, PAGES);
  start_vcpu1(second);

  struct mmuext_op pages[PAGES] = {{0}}, everything = {0};
  for (unsigned page = 0; page < PAGES; page++) {
    pages[page].cmd = MMUEXT_INVLPG_MULTI;
    pages[page].arg1.linear_addr = (ulong)at(page);
    pages[page].arg2.vcpumask.p = &both;
  }
  rounds("INVLPG_MULTI of one page", 1, pages, 1);
  rounds("INVLPG_MULTI of three pages", PAGES, pages, PAGES);
  for (unsigned page = 0; page < PAGES; page++)
    pages[page].cmd = MMUEXT_INVLPG_ALL;
  rounds("INVLPG_ALL of one page", 1, pages, 1);
  rounds("INVLPG_ALL of three pages", PAGES, pages, PAGES);
  everything.cmd = MMUEXT_TLB_FLUSH_MULTI;
  everything.arg2.vcpumask.p = &both;
  rounds("TLB_FLUSH_MULTI", PAGES, &everything, 1);
  everything.cmd = MMUEXT_TLB_FLUSH_ALL;
  rounds("TLB_FLUSH_ALL", PAGES, &everything, 1);
  done = 1;
}
