/* REP MOVS and REP STOS by the page. What is done here is what needs no help:
 * plain RAM, no fault, no code, no watchpoint. It may be nothing; translated
 * code then does one element in the ordinary way, which faults as it should,
 * and comes back. */
#include "engine.h"

#include "exec/helper-proto.h"

/* Between two of these an interrupt can come. */
enum { MOST_BYTES = 256 << 10 };

/* Elements of 1 << shift bytes at `address` that are in its page, at most
 * `count`. */
static uint64_t elements_in_page(uint64_t address, uint64_t count, unsigned shift) {
  uint64_t left = (-(address | TARGET_PAGE_MASK)) >> shift;
  return MIN(count, left);
}

/* As x86 does it: one after the other, so that an overlap repeats what is
 * between the two. */
static void copy_elements(uint8_t *to, const uint8_t *from, uint64_t count, unsigned shift) {
  if (to <= from || to >= from + (count << shift)) {
    memmove(to, from, count << shift);
    return;
  }
  for (; count; count--, to += 1 << shift, from += 1 << shift)
    memmove(to, from, 1 << shift);
}

void helper_rep_movs(CPUX86State *env, uint32_t shift) {
  uint64_t *count = &env->regs[R_ECX], *from = &env->regs[R_ESI], *to = &env->regs[R_EDI];
  int mmu = cpu_mmu_index(env, false);
  if (env->df != 1) return;
  for (uint64_t done = 0; *count && done < MOST_BYTES;) {
    uint64_t n = elements_in_page(*to, elements_in_page(*from, *count, shift), shift);
    if (!n) return; /* an element that lies in two pages */
    const void *source = tlb_vaddr_to_host(env, *from, MMU_DATA_LOAD, mmu);
    void *target = source ? tlb_vaddr_to_host(env, *to, MMU_DATA_STORE, mmu) : NULL;
    if (!target) return;
    copy_elements(target, source, n, shift);
    *count -= n;
    *from += n << shift;
    *to += n << shift;
    done += n << shift;
  }
}

typedef uint16_t __attribute__((aligned(1))) unaligned16;
typedef uint32_t __attribute__((aligned(1))) unaligned32;
typedef uint64_t __attribute__((aligned(1))) unaligned64;

static void store_elements(void *to, uint64_t value, uint64_t count, unsigned shift) {
  unaligned16 *words = to;
  unaligned32 *longs = to;
  unaligned64 *quads = to;
  switch (shift) {
  case 0:
    memset(to, (uint8_t)value, count);
    break;
  case 1:
    for (uint64_t i = 0; i < count; i++)
      words[i] = value;
    break;
  case 2:
    for (uint64_t i = 0; i < count; i++)
      longs[i] = value;
    break;
  default:
    for (uint64_t i = 0; i < count; i++)
      quads[i] = value;
  }
}

void helper_rep_stos(CPUX86State *env, uint32_t shift) {
  uint64_t *count = &env->regs[R_ECX], *to = &env->regs[R_EDI];
  int mmu = cpu_mmu_index(env, false);
  if (env->df != 1) return;
  for (uint64_t done = 0; *count && done < MOST_BYTES;) {
    uint64_t n = elements_in_page(*to, *count, shift);
    void *target = n ? tlb_vaddr_to_host(env, *to, MMU_DATA_STORE, mmu) : NULL;
    if (!target) return;
    store_elements(target, env->regs[R_EAX], n, shift);
    *count -= n;
    *to += n << shift;
    done += n << shift;
  }
}
