/* Translated blocks of a CPU and its siblings: making, finding, chaining and dropping them.
 * Only the thread that runs them comes here, so there are no locks. Blocks
 * are known by guest physical page: a page's list holds every block with code
 * in it, and while the list is not empty, stores to the page take the slow path
 * (exec/ram_addr.h) and end up in block_invalidate_range(). */
#include "engine.h"

#include <sys/mman.h>

#include "accel/tcg/internal.h"
#include "accel/tcg/tb-hash.h"
#include "exec/cputlb.h"
#include "exec/helper-proto.h"
#include "exec/translate-all.h"
#include "hw/core/tcg-cpu-ops.h"

#include "unwind.h"

/* The hash table starts with this many slots and doubles when half full. */
enum { MIN_SLOTS = 1 << 14 };
/* A removed block's slot; such slots go at the next growth. */
#define REMOVED ((TranslationBlock *)1)

static size_t page_table_bytes(const struct block_cache *cache) {
  return ROUND_UP(cache->page_count * sizeof(uintptr_t), 4096);
}

bool block_cache_init(struct softcpu *cpu, uint64_t ram_bytes, size_t code_bytes) {
  struct block_cache *cache = cpu->blocks = calloc(1, sizeof(*cache));
  int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if (!cache) return false;
  cache->page_count = (ram_bytes >> TARGET_PAGE_BITS) + 1; /* and the page of what is not RAM */
  void *pages = mmap(NULL, page_table_bytes(cache), prot, flags, -1, 0);
  if (pages == MAP_FAILED) return false;
  cache->pages = pages;
  void *code = mmap(NULL, code_bytes, prot | PROT_EXEC, flags, -1, 0);
  if (code == MAP_FAILED) return false;
  cache->code = code;
  cache->code_bytes = code_bytes;
  cache->capacity = 1 << 14;
  cache->order = g_new(TranslationBlock *, cache->capacity);
  cache->slots = g_new(struct block_slot, MIN_SLOTS);
  cache->slot_mask = MIN_SLOTS - 1;

  TCGContext *tcg = cpu->tcg;
  size_t stub = ROUND_UP(jump_make_stub(code, helper_next_block), CODE_GEN_ALIGN);
  tcg->code_gen_buffer = code + stub;
  tcg->code_gen_ptr = code + stub;
  tcg->code_gen_buffer_size = code_bytes - stub;
  tcg->code_gen_highwater = cache->code + code_bytes - 1024; /* TCG_HIGHWATER: the longest single operation */
  return true;
}

void block_cache_free(struct softcpu *cpu) {
  struct block_cache *cache = cpu->blocks;
  if (!cache) return;
  if (cache->pages) munmap(cache->pages, page_table_bytes(cache));
  if (cache->code) munmap(cache->code, cache->code_bytes);
  g_free(cache->order);
  g_free(cache->slots);
  free(cache);
}

/* Drops everything. Not while translated code is running. */
void block_cache_flush(struct softcpu *cpu) {
  struct block_cache *cache = cpu->blocks;
  for (size_t i = 0; i < cache->count; i++) {
    TranslationBlock *tb = cache->order[i];
    for (int n = 0; n < 2; n++)
      if (tb->page_addr[n] != (tb_page_addr_t)-1) cache->pages[tb->page_addr[n] >> TARGET_PAGE_BITS] = 0;
  }
  cache->count = 0;
  cache->used = 0;
  memset(cache->slots, 0, (cache->slot_mask + 1) * sizeof(*cache->slots));
  cpu->tcg->code_gen_ptr = cpu->tcg->code_gen_buffer;
  FOR_EACH_SIBLING(one, cpu) {
    memset(one->jumps, 0, JUMPS * sizeof(*one->jumps));
    tlb_flush(softcpu_cs(one)); /* no page is write protected for its code any more */
  }
}

void tb_flush(CPUState *cs) {
  block_cache_flush(softcpu_of(cs));
}

/* The buffer of a CPU is one region: when it is full, everything goes. */
bool tcg_region_alloc(TCGContext *tcg) {
  return true;
}

bool in_code_gen_buffer(const void *p) {
  return (size_t)(p - tcg_ctx->code_gen_buffer) <= tcg_ctx->code_gen_buffer_size;
}

/* The block that a host address of translated code belongs to. */
TranslationBlock *tcg_tb_lookup(uintptr_t host_pc) {
  struct block_cache *cache = softcpu_of(current_cpu)->blocks;
  size_t low = 0, high = cache->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if ((uintptr_t)cache->order[middle] <= host_pc)
      low = middle + 1;
    else
      high = middle;
  }
  return low ? cache->order[low - 1] : NULL;
}

/* Not by virtual address: see above. */
static uint32_t block_hash(tb_page_addr_t phys_pc, uint32_t flags, uint32_t cflags) {
  uint64_t hash = (phys_pc ^ (uint64_t)(flags ^ cflags) << 32) * JUMP_HASH;
  return hash >> 32;
}

static uint32_t hash_of(const TranslationBlock *tb) {
  return block_hash(tb_page_addr0(tb), tb->flags, tb->cflags & ~CF_INVALID);
}

static void slot_insert(struct block_cache *cache, TranslationBlock *tb) {
  uint32_t hash = hash_of(tb);
  size_t slot = hash;
  while (cache->slots[slot & cache->slot_mask].tb)
    slot++;
  cache->slots[slot & cache->slot_mask] = (struct block_slot){tb, hash};
  cache->used++;
}

static void grow_slots(struct block_cache *cache) {
  struct block_slot *old = cache->slots;
  size_t old_mask = cache->slot_mask;
  cache->slot_mask = old_mask * 2 + 1;
  cache->slots = g_new(struct block_slot, cache->slot_mask + 1);
  cache->used = 0;
  for (size_t i = 0; i <= old_mask; i++)
    if (old[i].tb && old[i].tb != REMOVED) slot_insert(cache, old[i].tb);
  g_free(old);
}

static void slot_remove(struct block_cache *cache, TranslationBlock *tb) {
  size_t slot = hash_of(tb);
  while (cache->slots[slot & cache->slot_mask].tb != tb)
    slot++;
  cache->slots[slot & cache->slot_mask].tb = REMOVED;
}

/* Both pages of a block that crosses one must be the ones that it was made
 * from: the second page may be mapped to something else by now. That lookup may
 * fault, rightly: the instruction that crosses needs the page. */
static bool same_second_page(CPUX86State *env, const TranslationBlock *tb, target_ulong pc) {
  if (tb_page_addr1(tb) == (tb_page_addr_t)-1) return true;
  return get_page_addr_code(env, TARGET_PAGE_ALIGN(pc)) == tb_page_addr1(tb);
}

static TranslationBlock *slot_find(struct softcpu *cpu, target_ulong pc, target_ulong cs_base, uint32_t flags,
                                   uint32_t cflags, tb_page_addr_t phys_pc) {
  struct block_cache *cache = cpu->blocks;
  uint32_t hash = block_hash(phys_pc, flags, cflags);
  for (size_t at = hash;; at++) {
    struct block_slot *slot = &cache->slots[at & cache->slot_mask];
    TranslationBlock *tb = slot->tb;
    if (!tb) return NULL;
    if (slot->hash != hash || tb == REMOVED) continue;
    if (tb_page_addr0(tb) == phys_pc && tb->cs_base == cs_base && tb->flags == flags &&
        tb->cflags == cflags && same_second_page(&cpu->x86.env, tb, pc))
      return tb;
  }
}

/* An entry of an older generation: the block is good if it is still there, at that address. */
static bool still_there(struct softcpu *cpu, const struct jump *jump, target_ulong cs_base,
                        tb_page_addr_t phys_pc) {
  const TranslationBlock *tb = jump->tb;
  return tb_page_addr0(tb) == phys_pc && tb->cs_base == cs_base &&
         tb->cflags == softcpu_cs(cpu)->tcg_cflags && same_second_page(&cpu->x86.env, tb, jump->pc);
}

/* The block for this state of the CPU, if there is one. May raise a page fault for the fetch. */
TranslationBlock *block_find(struct softcpu *cpu, target_ulong pc, target_ulong cs_base, uint32_t flags,
                             uint32_t cflags) {
  struct jump *jump = &cpu->jumps[jump_index(pc)];
  bool plain = cflags == softcpu_cs(cpu)->tcg_cflags; /* there are only such blocks in the cache */
  bool known = plain && jump->pc == pc && (uint32_t)jump->tag == flags && jump->tb;
  if (likely(known && jump->tag >> 32 == jump_kind(cpu, flags)->tag >> 32 && jump->tb->cs_base == cs_base))
    return jump->tb;
  tb_page_addr_t phys_pc = get_page_addr_code(&cpu->x86.env, pc);
  TranslationBlock *tb = known && still_there(cpu, jump, cs_base, phys_pc)
                             ? jump->tb
                             : slot_find(cpu, pc, cs_base, flags, cflags, phys_pc);
  /* Translated code that goes by the cache sees no breakpoints. */
  if (tb && plain && !has_breakpoints(cpu)) jump_remember(cpu, pc, tb, flags);
  return tb;
}

static void page_insert(struct block_cache *cache, TranslationBlock *tb, int n) {
  tb_page_addr_t address = tb->page_addr[n];
  uintptr_t *head = &cache->pages[address >> TARGET_PAGE_BITS];
  bool first = !*head;
  tb->page_next[n] = *head;
  *head = (uintptr_t)tb | n;
  if (first) tlb_protect_code(address);
}

static void page_remove(struct block_cache *cache, TranslationBlock *tb, int n) {
  uintptr_t *link = &cache->pages[tb->page_addr[n] >> TARGET_PAGE_BITS];
  while (*link != ((uintptr_t)tb | n))
    link = &((TranslationBlock *)(*link & ~1))->page_next[*link & 1];
  *link = tb->page_next[n];
}

/* Translates at most max_insns instructions into `tb`. The size of the code, or
 * less than 0: -1 the buffer is full, -2 the block is too long. Apart because
 * the translator leaves by longjmp. */
static __attribute__((noinline)) int generate(struct softcpu *cpu, TranslationBlock *tb, target_ulong pc,
                                              void *host_pc, int *max_insns) {
  TCGContext *tcg = cpu->tcg;
  int failed = sigsetjmp(tcg->jmp_trans, 0);
  if (unlikely(failed)) return failed;
  tcg_func_start(tcg);
  tcg->cpu = softcpu_cs(cpu);
  gen_intermediate_code(tcg->cpu, tb, *max_insns, pc, host_pc);
  tcg->cpu = NULL;
  *max_insns = tb->icount;
  return tcg_gen_code(tcg, tb, pc);
}

static void reset_chain(TranslationBlock *tb, int n) {
  tb_set_jmp_target(tb, n, (uintptr_t)(tb->tc.ptr + tb->jmp_reset_offset[n]));
}

static void publish(struct softcpu *cpu, TranslationBlock *tb) {
  struct block_cache *cache = cpu->blocks;
  tb->jmp_list_head = 0;
  for (int n = 0; n < 2; n++) {
    tb->jmp_list_next[n] = 0;
    tb->jmp_dest[n] = 0;
    if (tb->jmp_reset_offset[n] != TB_JMP_RESET_OFFSET_INVALID) reset_chain(tb, n);
  }
  if (cache->count == cache->capacity) {
    cache->capacity *= 2;
    cache->order = g_renew(TranslationBlock *, cache->order, cache->capacity);
  }
  cache->order[cache->count++] = tb;
  if (cache->used * 2 > cache->slot_mask) grow_slots(cache);
  slot_insert(cache, tb);
  page_insert(cache, tb, 0);
  if (tb_page_addr1(tb) != (tb_page_addr_t)-1) page_insert(cache, tb, 1);
}

static TranslationBlock *try_make(struct softcpu *cpu, TranslationBlock like, void *host_pc) {
  TCGContext *tcg = cpu->tcg;
  int max_insns = like.cflags & CF_COUNT_MASK ? (int)(like.cflags & CF_COUNT_MASK) : TCG_MAX_INSNS, size;
  uint8_t *before = tcg->code_gen_ptr;
  TranslationBlock *tb = tcg_tb_alloc(tcg);
  if (!tb) return NULL;
  *tb = like;
  tb->tc.ptr = tcg->code_gen_ptr;
  tcg->tb_cflags = tb->cflags;
  while ((size = generate(cpu, tb, tb->pc, host_pc, &max_insns)) == -2) {
    if (max_insns == 1) softcpu_bug("one instruction does not fit a block", __FILE__, __LINE__);
    max_insns /= 2;
  }
  int search = size < 0 ? -1 : unwind_encode(tb, (uint8_t *)tb->tc.ptr + size, tcg->code_gen_highwater);
  if (search < 0) {
    tcg->code_gen_ptr = before;
    return NULL;
  }
  tb->tc.size = size;
  tcg->code_gen_ptr = (void *)ROUND_UP((uintptr_t)tb->tc.ptr + size + search, CODE_GEN_ALIGN);
  return tb;
}

/* Translates the block for this state of the CPU. May raise a page fault for the fetch. */
TranslationBlock *block_make(struct softcpu *cpu, target_ulong pc, target_ulong cs_base, uint32_t flags,
                             uint32_t cflags) {
  void *host_pc;
  TranslationBlock like = {.pc = pc, .cs_base = cs_base, .flags = flags, .cflags = cflags};
  tb_set_page_addr0(&like, get_page_addr_code_hostp(&cpu->x86.env, pc, &host_pc));
  tb_set_page_addr1(&like, -1);
  TranslationBlock *tb = try_make(cpu, like, host_pc);
  if (!tb) {
    block_cache_flush(cpu);
    tb = try_make(cpu, like, host_pc);
    if (!tb) softcpu_bug("a block does not fit the code buffer", __FILE__, __LINE__);
  }
  publish(cpu, tb);
  return tb;
}

/* Lets `from` go on in `to` by itself from its exit 0 or 1 on. A jump to a block that crosses pages cannot be
 * direct: its second page may be mapped elsewhere later. It looks for the block every time. */
void block_chain(struct softcpu *cpu, TranslationBlock *from, int exit, TranslationBlock *to) {
  if (from->jmp_dest[exit] || (from->cflags | to->cflags) & CF_INVALID) return;
  if (tb_page_addr1(to) != (tb_page_addr_t)-1) {
    tb_set_jmp_target(from, exit, (uintptr_t)cpu->blocks->code);
    return;
  }
  from->jmp_dest[exit] = (uintptr_t)to;
  tb_set_jmp_target(from, exit, (uintptr_t)to->tc.ptr);
  from->jmp_list_next[exit] = to->jmp_list_head;
  to->jmp_list_head = (uintptr_t)from | exit;
}

void tb_set_jmp_target(TranslationBlock *tb, int n, uintptr_t address) {
  uintptr_t start = (uintptr_t)tb->tc.ptr, jump = start + tb->jmp_target_arg[n];
  tb_target_set_jmp_target(start, jump, jump, address);
}

/* Takes `tb` off the list of what jumps to the block that it is chained to. */
static void unchain_outgoing(TranslationBlock *tb, int n) {
  TranslationBlock *to = (TranslationBlock *)tb->jmp_dest[n];
  if (!to) return;
  uintptr_t *link = &to->jmp_list_head;
  while (*link != ((uintptr_t)tb | n))
    link = &((TranslationBlock *)(*link & ~1))->jmp_list_next[*link & 1];
  *link = tb->jmp_list_next[n];
  tb->jmp_dest[n] = 0;
  reset_chain(tb, n);
}

static void drop(struct softcpu *cpu, TranslationBlock *tb) {
  TranslationBlock *from;
  uintptr_t next;
  FOR_EACH_SIBLING(one, cpu) jumps_forget(one);
  slot_remove(cpu->blocks, tb);
  tb->cflags |= CF_INVALID;
  page_remove(cpu->blocks, tb, 0);
  if (tb_page_addr1(tb) != (tb_page_addr_t)-1) page_remove(cpu->blocks, tb, 1);
  unchain_outgoing(tb, 0);
  unchain_outgoing(tb, 1);
  for (uintptr_t link = tb->jmp_list_head; link; link = next) {
    from = (TranslationBlock *)(link & ~1);
    next = from->jmp_list_next[link & 1];
    from->jmp_dest[link & 1] = 0;
    reset_chain(from, link & 1);
  }
  tb->jmp_list_head = 0;
}

void tb_phys_invalidate(TranslationBlock *tb, tb_page_addr_t page) {
  if (!(tb->cflags & CF_INVALID)) drop(softcpu_of(current_cpu), tb);
}

/* The part of a block that lies in the page of list entry n. */
static bool overlaps(const TranslationBlock *tb, int n, uint64_t start, uint64_t end) {
  tb_page_addr_t first = tb->page_addr[n];
  tb_page_addr_t last = n ? first + ((tb->page_addr[0] + tb->size) & ~TARGET_PAGE_MASK) : first + tb->size;
  return last > start && first < end;
}

/* Drops the blocks of one page that overlap [start, end). True: the one that
 * the store at host address `retaddr` belongs to was among them, and the CPU's
 * state is that of before the store. */
static bool invalidate_in_page(struct softcpu *cpu, uint64_t start, uint64_t end, uintptr_t retaddr) {
  uintptr_t *head = &cpu->blocks->pages[start >> TARGET_PAGE_BITS], next;
  if (!*head) return false;
  TranslationBlock *running = NULL;
  bool modified_itself = false, looked = false;
  for (uintptr_t link = *head; link; link = next) {
    TranslationBlock *tb = (TranslationBlock *)(link & ~1);
    next = tb->page_next[link & 1];
    /* A block may be on the list twice: its two pages may be one. */
    if (tb->cflags & CF_INVALID || !overlaps(tb, link & 1, start, end)) continue;
    if (retaddr && !looked) {
      running = tcg_tb_lookup(retaddr);
      looked = true;
    }
    if (tb == running && (tb->cflags & CF_COUNT_MASK) != 1) {
      modified_itself = true;
      cpu_restore_state_from_tb(softcpu_cs(cpu), tb, retaddr);
    }
    drop(cpu, tb);
  }
  return modified_itself;
}

void block_invalidate_range(struct softcpu *cpu, uint64_t start, uint64_t end) {
  while (start < end) {
    uint64_t page_end = MIN(end, (start | ~TARGET_PAGE_MASK) + 1);
    invalidate_in_page(cpu, start, page_end, 0);
    start = page_end;
  }
}

/* A guest's store of at most 8 (16, 32 for the vector units) bytes to a page
 * with code in it. */
void tb_invalidate_phys_page_fast(struct page_collection *pages, tb_page_addr_t start, int len,
                                  uintptr_t retaddr) {
  CPUState *cs = current_cpu;
  if (!invalidate_in_page(softcpu_of(cs), start, start + len, retaddr)) return;
  /* The store is done anew, alone in a block, so that what follows it is
   * translated as it is then. */
  cs->cflags_next_tb = 1 | CF_NOIRQ | cs->tcg_cflags;
  cpu_loop_exit_noexc(cs);
}

struct page_collection *page_collection_lock(tb_page_addr_t start, tb_page_addr_t end) {
  return NULL;
}
void page_collection_unlock(struct page_collection *set) {}
