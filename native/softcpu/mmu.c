/* From a virtual address to a page of guest memory: the walk through the
 * guest's page tables (Intel SDM vol. 3, chapter 4), and the faults that come
 * of it. */
#include "engine.h"

#include "mmu.h"
#include "target/i386/tcg/helper-tcg.h"

enum { ENTRIES = 512, LARGE_PAT = 0x1000 };

struct walk {
  struct softcpu *cpu;
  uint64_t address;
  MMUAccessType access;
  bool user, smap;
  uint64_t reserved;  /* bits that no entry may have set */
  uint64_t allowed;   /* RW and USER, as far as every level has them */
  uint64_t forbidden; /* NX, if a level has it */
  uint64_t entry;     /* the last one read, */
  uint64_t entry_gpa; /* and where it is */
  uint32_t error;     /* of a page fault */
};

static void *table_at(struct softcpu *cpu, uint64_t gpa) {
  return gpa < cpu->ram_bytes ? cpu->ram + gpa : cpu->void_page + (gpa & ~TARGET_PAGE_MASK);
}

/* Sets accessed or dirty bits, which are in the low half of every kind of
 * entry. False: somebody else has changed it. */
static bool set_bits(struct walk *walk, uint32_t bits) {
  uint32_t old = (uint32_t)walk->entry;
  if (!(bits & ~old)) return true;
  if (qatomic_cmpxchg((uint32_t *)table_at(walk->cpu, walk->entry_gpa), old, old | bits) != old) return false;
  if (unlikely(page_has_code(walk->cpu, walk->entry_gpa)))
    block_invalidate_range(walk->cpu, walk->entry_gpa, walk->entry_gpa + 8);
  return true;
}

/* Reads an entry. False: it is not present, or has reserved bits. */
static bool read_entry(struct walk *walk, uint64_t gpa, unsigned bytes) {
  const void *at = table_at(walk->cpu, gpa);
  walk->entry_gpa = gpa;
  walk->entry = bytes == 8 ? qatomic_read((const uint64_t *)at) : qatomic_read((const uint32_t *)at);
  walk->error = 0;
  if (!(walk->entry & PG_PRESENT_MASK)) return false;
  walk->error = PG_ERROR_P_MASK | PG_ERROR_RSVD_MASK;
  if (walk->entry & walk->reserved) return false;
  walk->allowed &= walk->entry;
  walk->forbidden |= walk->entry;
  return true;
}

enum outcome { WALKED, FAULT, AGAIN };

/* Tables of 512 entries of 64 bits, down from the one at `table` whose entries
 * map 1 << shift bytes each. */
static enum outcome walk_wide(struct walk *walk, uint64_t table, unsigned shift, unsigned *page_shift) {
  for (;; shift -= 9) {
    if (!read_entry(walk, table + (walk->address >> shift & (ENTRIES - 1)) * 8, 8)) return FAULT;
    if (shift == TARGET_PAGE_BITS) break;
    if (walk->entry & PG_PSE_MASK) {
      uint64_t below = ((1ull << shift) - 1) & PG_ADDRESS_MASK & ~LARGE_PAT;
      walk->error = PG_ERROR_P_MASK | PG_ERROR_RSVD_MASK;
      if (shift == 39 || walk->entry & below) return FAULT;
      break;
    }
    if (!set_bits(walk, PG_ACCESSED_MASK)) return AGAIN;
    table = walk->entry & PG_ADDRESS_MASK;
  }
  *page_shift = shift;
  return WALKED;
}

/* PAE: four entries without permissions above the wide tables. */
static enum outcome walk_pae(struct walk *walk, uint64_t cr3, unsigned *page_shift) {
  if (!read_entry(walk, (cr3 & 0xffffffe0) + (walk->address >> 30 & 3) * 8, 8)) return FAULT;
  walk->allowed = PG_RW_MASK | PG_USER_MASK;
  walk->forbidden = 0;
  return walk_wide(walk, walk->entry & PG_ADDRESS_MASK, 21, page_shift);
}

/* Two levels of 1024 entries of 32 bits. */
static enum outcome walk_narrow(struct walk *walk, uint64_t cr3, bool large, unsigned *page_shift) {
  walk->reserved = 0;
  if (!read_entry(walk, (cr3 & 0xfffff000) + (walk->address >> 22 & 1023) * 4, 4)) return FAULT;
  *page_shift = 22;
  if (!(large && walk->entry & PG_PSE_MASK)) {
    if (!set_bits(walk, PG_ACCESSED_MASK)) return AGAIN;
    *page_shift = TARGET_PAGE_BITS;
    if (!read_entry(walk, (walk->entry & 0xfffff000) + (walk->address >> 12 & 1023) * 4, 4)) return FAULT;
  }
  walk->forbidden = 0;
  return WALKED;
}

static void begin_walk(struct walk *walk) {
  CPUX86State *env = &walk->cpu->x86.env;
  uint64_t physical = MAKE_64BIT_MASK(0, walk->cpu->x86.phys_bits);
  walk->allowed = PG_RW_MASK | PG_USER_MASK;
  walk->forbidden = 0;
  walk->reserved = PG_ADDRESS_MASK & ~physical;
  if (!(env->efer & MSR_EFER_NXE)) walk->reserved |= PG_NX_MASK;
}

static enum outcome walk_tables(struct walk *walk, unsigned *page_shift) {
  CPUX86State *env = &walk->cpu->x86.env;
  begin_walk(walk);
  if (env->hflags & HF_LMA_MASK) return walk_wide(walk, env->cr[3] & PG_ADDRESS_MASK, 39, page_shift);
  if (env->cr[4] & CR4_PAE_MASK) return walk_pae(walk, env->cr[3], page_shift);
  return walk_narrow(walk, env->cr[3], env->cr[4] & CR4_PSE_MASK, page_shift);
}

/* What the page may be used for; SDM vol. 3, 4.6. */
static int protection(const struct walk *walk) {
  const CPUX86State *env = &walk->cpu->x86.env;
  bool user_page = walk->allowed & PG_USER_MASK, writable = walk->allowed & PG_RW_MASK;
  int prot = 0;
  if (walk->user && !user_page) return 0;
  if (!(walk->smap && user_page)) {
    prot |= PAGE_READ;
    if (writable || (!walk->user && !(env->cr[0] & CR0_WP_MASK))) prot |= PAGE_WRITE;
  }
  if (!(walk->forbidden & PG_NX_MASK) && (walk->user || !(user_page && env->cr[4] & CR4_SMEP_MASK)))
    prot |= PAGE_EXEC;
  return prot;
}

static uint32_t fault_code(const struct walk *walk) {
  const CPUX86State *env = &walk->cpu->x86.env;
  uint32_t code = walk->error;
  if (walk->user) code |= PG_ERROR_U_MASK;
  if (walk->access == MMU_DATA_STORE) code |= PG_ERROR_W_MASK;
  if (walk->access == MMU_INST_FETCH && (env->efer & MSR_EFER_NXE || env->cr[4] & CR4_SMEP_MASK))
    code |= PG_ERROR_I_D_MASK;
  return code;
}

/* False: a page fault with walk->error. */
static bool find_page(struct walk *walk, struct mapping *mapping) {
  unsigned shift = TARGET_PAGE_BITS;
  enum outcome outcome;
  uint32_t bits = PG_ACCESSED_MASK | (walk->access == MMU_DATA_STORE ? PG_DIRTY_MASK : 0);
  do {
    outcome = walk_tables(walk, &shift);
    if (outcome == FAULT) return false;
    if (outcome == AGAIN) continue;
    mapping->prot = protection(walk);
    walk->error = PG_ERROR_P_MASK;
    if (!(mapping->prot & (1 << walk->access))) return false;
  } while (outcome == AGAIN || !set_bits(walk, bits));
  /* The first store to a clean page has to come here, for its dirty bit. */
  if (!((walk->entry | bits) & PG_DIRTY_MASK)) mapping->prot &= ~PAGE_WRITE;
  uint64_t offset = (1ull << shift) - 1;
  uint64_t frame = walk->entry & PG_ADDRESS_MASK;
  if (shift == 22) frame |= (walk->entry & 0x1fe000) << 19; /* PSE-36 */
  mapping->gpa = (frame & ~offset) | (walk->address & offset & TARGET_PAGE_MASK);
  mapping->bytes = offset + 1;
  return true;
}

enum { REGION_BITS = 21, REGIONS = 8 };

/* To the table of 4 KiB pages that has the address; its entry there is not read. False: there is none. */
static bool walk_to_last_table(struct walk *walk, uint64_t *table) {
  *table = walk->cpu->x86.env.cr[3] & PG_ADDRESS_MASK;
  begin_walk(walk);
  for (unsigned shift = 39; shift > TARGET_PAGE_BITS; shift -= 9) {
    if (!read_entry(walk, *table + (walk->address >> shift & (ENTRIES - 1)) * 8, 8) ||
        walk->entry & PG_PSE_MASK || !set_bits(walk, PG_ACCESSED_MASK))
      return false;
    *table = walk->entry & PG_ADDRESS_MASK;
  }
  return true;
}

bool mmu_has_code(struct softcpu *cpu, const struct jump_kind *kind, bool user) {
  struct {
    struct walk walk; /* as far as the table */
    uint64_t table;
  } regions[REGIONS];
  for (int i = 0; i < REGIONS; i++)
    regions[i].walk.cpu = NULL; /* none yet */
  if (!(cpu->x86.env.hflags & HF_LMA_MASK)) return !kind->count;
  for (unsigned i = 0; i < kind->count; i++) {
    const struct code_page *page = &kind->pages[kind->used[i]];
    unsigned at = (page->address >> REGION_BITS) % REGIONS;
    if (!regions[at].walk.cpu || page->address >> REGION_BITS != regions[at].walk.address >> REGION_BITS) {
      regions[at].walk =
          (struct walk){.cpu = cpu, .address = page->address, .access = MMU_INST_FETCH, .user = user};
      if (!walk_to_last_table(&regions[at].walk, &regions[at].table)) return false;
    }
    struct walk walk = regions[at].walk;
    uint64_t entry = regions[at].table + (page->address >> TARGET_PAGE_BITS & (ENTRIES - 1)) * 8;
    if (!read_entry(&walk, entry, 8) || !(walk.entry & PG_ACCESSED_MASK) ||
        !(protection(&walk) & PAGE_EXEC) || (walk.entry & PG_ADDRESS_MASK) != page->gpa)
      return false;
  }
  return true;
}

bool mmu_translate(struct softcpu *cpu, uint64_t address, MMUAccessType access, int mmu_index,
                   struct mapping *mapping, struct fault *fault) {
  CPUX86State *env = &cpu->x86.env;
  bool long_mode = env->hflags & HF_LMA_MASK;
  struct walk walk = {
      .cpu = cpu,
      .address = long_mode ? address : (uint32_t)address,
      .access = access,
      .user = is_mmu_index_user(mmu_index),
      .smap = is_mmu_index_smap(mmu_index),
  };
  if (!(env->cr[0] & CR0_PG_MASK)) {
    *mapping = (struct mapping){walk.address & TARGET_PAGE_MASK, TARGET_PAGE_SIZE,
                                PAGE_READ | PAGE_WRITE | PAGE_EXEC};
    return true;
  }
  if (long_mode && (int64_t)address >> 47 != 0 && (int64_t)address >> 47 != -1) {
    *fault = (struct fault){EXCP0D_GPF, 0}; /* not canonical */
    return false;
  }
  if (find_page(&walk, mapping)) return true;
  *fault = (struct fault){EXCP0E_PAGE, fault_code(&walk)};
  return false;
}

void mmu_raise(struct softcpu *cpu, uint64_t address, const struct fault *fault, uintptr_t ra) {
  CPUX86State *env = &cpu->x86.env;
  if (fault->vector == EXCP0E_PAGE) env->cr[2] = address;
  raise_exception_err_ra(env, fault->vector, fault->error, ra);
}
