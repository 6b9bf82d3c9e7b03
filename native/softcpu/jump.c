/* Jumps whose target is known only when they are done: returns, indirect calls,
 * jumps to another page. A third of a kernel's blocks end in one, so translated
 * code finds the next block by itself, without a branch but the jump. */
#include "engine.h"

#include "exec/helper-proto.h"
#include "mmu.h"
#include "tcg/tcg-op.h"

/* Host code for when the cache does not know: asks block_find(), and goes where
 * it says. */
const uint8_t *jump_miss;

static const uint64_t no_page = 1;
enum { MAX_CHECKS = 256 };

bool jumps_create(struct softcpu *cpu) {
  cpu->jumps = calloc(JUMPS, sizeof(*cpu->jumps));
  for (int i = 0; i < 2; i++) {
    cpu->jump_kinds[i].tag = 1ull << 32;
    for (unsigned n = 0; n < CODE_PAGE_SLOTS; n++)
      cpu->jump_kinds[i].pages[n].address = no_page;
  }
  return cpu->jumps;
}

/* The page's slot, or the free one where it belongs. */
static struct code_page *find_page(struct jump_kind *kind, uint64_t page) {
  for (uint64_t at = (page >> TARGET_PAGE_BITS) * JUMP_HASH >> (64 - CODE_PAGE_BITS);; at++) {
    struct code_page *slot = &kind->pages[at % CODE_PAGE_SLOTS];
    if (slot->address == page || slot->address == no_page) return slot;
  }
}

/* False: it was elsewhere, or there are too many. */
static bool note_page(struct jump_kind *kind, uint64_t address, uint64_t gpa) {
  uint64_t page = address & TARGET_PAGE_MASK;
  struct code_page *slot = find_page(kind, page);
  gpa &= TARGET_PAGE_MASK;
  if (slot->address == page) return slot->gpa == gpa;
  if (kind->count == CODE_PAGES) return false;
  *slot = (struct code_page){page, gpa};
  kind->used[kind->count++] = slot - kind->pages;
  return true;
}

static bool note_pages(struct jump_kind *kind, uint64_t pc, const TranslationBlock *tb) {
  return note_page(kind, pc, tb_page_addr0(tb)) &&
         (tb_page_addr1(tb) == (tb_page_addr_t)-1 ||
          note_page(kind, pc + TARGET_PAGE_SIZE, tb_page_addr1(tb)));
}

/* The entries are looked at again one by one, since most turn out to hold still. */
static void forget(struct softcpu *cpu, struct jump_kind *kind) {
  for (unsigned i = 0; i < kind->count; i++)
    kind->pages[kind->used[i]].address = no_page;
  kind->count = 0;
  kind->checks = 0;
  kind->tag += 1ull << 32;
  if (kind->tag) return;
  memset(cpu->jumps, 0, JUMPS * sizeof(*cpu->jumps));
  kind->tag = 1ull << 32;
}

void jump_remember(struct softcpu *cpu, uint64_t pc, TranslationBlock *tb, uint32_t flags) {
  struct jump_kind *kind = jump_kind(cpu, flags);
  if (!note_pages(kind, pc, tb)) {
    forget(cpu, kind);
    note_pages(kind, pc, tb);
  }
  cpu->jumps[jump_index(pc)] = (struct jump){pc, tb->tc.ptr, tb, kind->tag | flags};
}

/* What is known about virtual addresses, or a block, has changed. */
void jumps_forget(struct softcpu *cpu) {
  for (int i = 0; i < 2; i++)
    forget(cpu, &cpu->jump_kinds[i]);
}

/* One page may be mapped elsewhere from now on. */
void jumps_forget_page(struct softcpu *cpu, uint64_t address) {
  uint64_t page = address & TARGET_PAGE_MASK;
  for (int i = 0; i < 2; i++)
    if (find_page(&cpu->jump_kinds[i], page)->address == page) forget(cpu, &cpu->jump_kinds[i]);
}

/* Any page may be. A guest's kernel flushes its TLB at every change of its page tables. Now and then all is
 * forgotten, or pages whose code has not run for long would be looked at every time. */
void jumps_check(struct softcpu *cpu) {
  for (int i = 0; i < 2; i++) {
    struct jump_kind *kind = &cpu->jump_kinds[i];
    if (++kind->checks == MAX_CHECKS || !mmu_has_code(cpu, kind, i)) forget(cpu, kind);
  }
}

void tcg_flush_jmp_cache(CPUState *cs) {
  jumps_forget(softcpu_of(cs));
}

/* mov %rbp, %rdi; movabs $helper, %rax; call *%rax; jmp *%rax. RBP is the
 * translator's pointer to the CPU (TCG_AREG0); translated code keeps the stack
 * as a call needs it. */
size_t jump_make_stub(uint8_t *code, const void *helper) {
  QEMU_BUILD_BUG_ON(TCG_AREG0 != TCG_REG_EBP);
  memcpy(code, "\x48\x89\xef\x48\xb8", 5);
  memcpy(code + 5, &helper, 8);
  memcpy(code + 13, "\xff\xd0\xff\xe0", 4);
  return 17;
}

#define FROM_ENV(field)                                                                                      \
  ((intptr_t)offsetof(struct softcpu, field) - (intptr_t)offsetof(struct softcpu, x86.env))

/* Ends a block: goes on at `eip`, in 64-bit code, in the mode that `flags`
 * says. */
void softcpu_gen_jump(TCGv_i64 eip, uint32_t flags) {
  TCGv_i64 entry = tcg_temp_new_i64(), wrong = tcg_temp_new_i64(), tag = tcg_temp_new_i64(),
           base = tcg_temp_new_i64();
  tcg_gen_ld_i64(base, cpu_env, FROM_ENV(jumps));
  tcg_gen_muli_i64(entry, eip, JUMP_HASH);
  tcg_gen_shri_i64(entry, entry, 64 - JUMP_BITS - JUMP_SHIFT);
  tcg_gen_andi_i64(entry, entry, (JUMPS - 1) << JUMP_SHIFT);
  tcg_gen_add_i64(entry, entry, base);
  tcg_gen_ld_i64(wrong, (TCGv_ptr)entry, offsetof(struct jump, pc));
  tcg_gen_xor_i64(wrong, wrong, eip);
  if ((flags & HF_CPL_MASK) == 3)
    tcg_gen_ld_i64(tag, cpu_env, FROM_ENV(jump_kinds[1].tag));
  else
    tcg_gen_ld_i64(tag, cpu_env, FROM_ENV(jump_kinds[0].tag));
  tcg_gen_xori_i64(tag, tag, flags);
  tcg_gen_ld_i64(base, (TCGv_ptr)entry, offsetof(struct jump, tag));
  tcg_gen_xor_i64(tag, tag, base);
  tcg_gen_or_i64(wrong, wrong, tag);
  tcg_gen_ld_i64(entry, (TCGv_ptr)entry, offsetof(struct jump, code));
  tcg_gen_movcond_i64(TCG_COND_EQ, entry, wrong, tcg_constant_i64(0), entry,
                      tcg_constant_i64((intptr_t)jump_miss));
  tcg_gen_goto_ptr((TCGv_ptr)entry);
}
