/* What the parts of the software CPU share. One struct softcpu holds everything
 * of a CPU; besides it there are only the translator's constant tables, made
 * once per process (startup.c), and two thread-local pointers to what runs
 * here. */
#ifndef SOFTCPU_ENGINE_H
#define SOFTCPU_ENGINE_H

#include "qemu/osdep.h"

#include "cpu.h"
#include "exec/exec-all.h"
#include "tcg/tcg.h"

#include "softcpu.h"

/* Where code that is left by an indirect jump goes on, by virtual address.
 * Translated code looks here by itself (jump.c). An entry holds while the upper
 * half of its tag, a generation, is the CPU's: then it is sure that the TLB and
 * the blocks have not changed since. */
struct jump {
  uint64_t pc;
  const void *code;
  TranslationBlock *tb;
  uint64_t tag; /* generation << 32 | the block's flags */
};
enum { JUMP_SHIFT = 5, JUMP_BITS = 15, JUMPS = 1 << JUMP_BITS };
QEMU_BUILD_BUG_ON(sizeof(struct jump) != 1 << JUMP_SHIFT);
#define JUMP_HASH                                                                                            \
  UINT64_C(0x9e3779b97f4a7c15) /* the golden ratio: the top bits of a product                                \
                                  are well mixed */

static inline unsigned jump_index(uint64_t pc) {
  return pc * JUMP_HASH >> (64 - JUMP_BITS);
}

/* User mode's jumps and the kernel's are forgotten apart. They hold as long as the pages that they lie in are
 * where they were. */
enum { CODE_PAGES = 1024, CODE_PAGE_BITS = 12, CODE_PAGE_SLOTS = 1 << CODE_PAGE_BITS };
struct code_page {
  uint64_t address; /* that of no page: a free slot */
  uint64_t gpa;
};
struct jump_kind {
  uint64_t tag;    /* the generation, never 0, in its upper half */
  unsigned checks; /* of the pages, since all was forgotten last */
  unsigned count;
  uint16_t used[CODE_PAGES]; /* slots of `pages`, a hash table */
  struct code_page pages[CODE_PAGE_SLOTS];
};

struct block_slot {
  TranslationBlock *tb;
  uint32_t hash;
};

/* Translated blocks (blocks.c). */
struct block_cache {
  uint8_t *code; /* mapped; a stub, then blocks and their code, in the order of translation */
  size_t code_bytes;
  TranslationBlock **order; /* every block since the last flush, ascending by address */
  size_t count, capacity;
  struct block_slot *slots; /* hash table, open addressing */
  size_t slot_mask, used;   /* used: with removed ones */
  uintptr_t *pages;         /* by page frame: the first block of that page, tagged as
                               page_next is */
  size_t page_count;
  uint8_t
      *marks; /* the caller's, or NULL: of every page that code was read from since softcpu_invalidate() */
};

/* One of the TLB's tables (tlb.c), and behind it a memory of what was in it. */
enum { TLB_MODES = 4, TLB_BITS = 13, TLB_ENTRIES = 1 << TLB_BITS };
struct tlb_old {
  CPUTLBEntry entry;
  uint64_t page; /* of the address, or that of no address */
  uint64_t generation;
};
struct tlb_mode {
  uint8_t *table; /* mapped: two halves, far apart */
  struct tlb_old *old;
  uint64_t generation; /* of the entries of `old` that are good */
  uint16_t *used;      /* the entries filled since the last flush; at TLB_ENTRIES of
                          them, it may be any */
  unsigned used_count;
  uint64_t large_address, large_mask; /* where there are large pages; none: -1 */
};

struct softcpu {
  X86CPU x86; /* its first member is CPUState */
  TCGContext *tcg;
  struct tlb_mode modes[TLB_MODES];
  struct softcpu *next;       /* the ring of siblings; itself when it has none */
  struct block_cache *blocks; /* theirs, as are tcg, ram and void_page */
  struct jump *jumps;
  struct jump_kind jump_kinds[2]; /* of the kernel, of user mode */

  uint8_t *ram;
  uint64_t ram_bytes;
  uint8_t *void_page; /* what lies beyond RAM: a page of ones */

  uint32_t exit_port;
  bool port_written; /* by the OUT that ended the last block */
  bool irq_waits;    /* until the guest lets it in: blocks that may do so end in run_blocks() */
  bool shut_down;    /* a triple fault */
  const char *error;
  char bug[160]; /* where error points once the engine itself is at fault */
  bool running;

  /* Written by any thread; each store is followed by interrupting the chain of
   * blocks (exec.c). */
  uint32_t kicked;
  uint64_t irqs[4];

  softcpu_cpuid *cpuid;
  size_t cpuid_count;
  uint64_t *breakpoints; /* of a debugger, ascending */
  size_t breakpoint_count;

  void *unwind[5]; /* __builtin_setjmp's buffer */
};

static inline struct softcpu *softcpu_of(const CPUState *cs) {
  return (struct softcpu *)cs;
}
static inline CPUState *softcpu_cs(struct softcpu *cpu) {
  return &cpu->x86.parent_obj;
}

static inline struct jump_kind *jump_kind(struct softcpu *cpu, uint32_t flags) {
  return &cpu->jump_kinds[(flags & HF_CPL_MASK) == 3];
}

/* Stores to such a page must be noticed. */
static inline bool page_has_code(const struct softcpu *cpu, uint64_t gpa) {
  return cpu->blocks->pages[gpa >> TARGET_PAGE_BITS];
}

#define FOR_EACH_SIBLING(one, cpu)                                                                           \
  for (struct softcpu *one = (cpu), *end = NULL; one != end; one = one->next, end = (cpu))

/* Makes `cpu` the one that this thread works for. */
static inline void softcpu_enter(struct softcpu *cpu) {
  current_cpu = softcpu_cs(cpu);
  tcg_ctx = cpu->tcg;
}

/* startup.c */
bool softcpu_start_translator(const char **error);
TCGContext *softcpu_new_context(void);
void softcpu_free_context(TCGContext *tcg);

/* blocks.c */
bool block_cache_init(struct softcpu *cpu, uint64_t ram_bytes, size_t code_bytes);
void block_cache_free(struct softcpu *cpu);
void block_cache_flush(struct softcpu *cpu);
TranslationBlock *block_find(struct softcpu *cpu, target_ulong pc, target_ulong cs_base, uint32_t flags,
                             uint32_t cflags);
TranslationBlock *block_make(struct softcpu *cpu, target_ulong pc, target_ulong cs_base, uint32_t flags,
                             uint32_t cflags);
void block_chain(struct softcpu *cpu, TranslationBlock *from, int exit, TranslationBlock *to);
void block_invalidate_range(struct softcpu *cpu, uint64_t start, uint64_t end);

/* debug.c */
static inline bool has_breakpoints(struct softcpu *cpu) {
  return !QTAILQ_EMPTY(&softcpu_cs(cpu)->breakpoints) || cpu->breakpoint_count;
}
bool debug_check_breakpoints(struct softcpu *cpu, uint64_t pc);

/* tlb.c */
void tlb_flush_for_cr3(struct softcpu *cpu);
bool tlb_create(struct softcpu *cpu);
void tlb_free(struct softcpu *cpu);

/* jump.c */
void jump_remember(struct softcpu *cpu, uint64_t pc, TranslationBlock *tb, uint32_t flags);
void jumps_forget(struct softcpu *cpu);
void jumps_forget_page(struct softcpu *cpu, uint64_t address);
void jumps_check(struct softcpu *cpu);
bool jumps_create(struct softcpu *cpu);
extern const uint8_t *jump_miss;
size_t jump_make_stub(uint8_t *code, const void *helper);

/* x86.c */
void x86_reset(struct softcpu *cpu);
extern const struct TCGCPUOps x86_ops;

#endif
