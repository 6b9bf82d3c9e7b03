/* The TLB, which translated code reads by itself: per mode a table of 4 KiB
 * pages, found by the low bits of the page's number and one high one: a kernel
 * has several views of memory that begin at round addresses, the page for MFN n
 * in one array and that for PFN n in another, say. Translated code takes the
 * bits by one mask, so the high bit makes two halves of the table with an empty
 * space between. A tag has flags in its low
 * bits where an access must not go straight to memory: TLB_NOTDIRTY        a
 * store, to a page with translated code TLB_DISCARD_WRITE   a store, beyond RAM
 *   TLB_WATCHPOINT      somewhere in the page is a watchpoint */
#include "engine.h"

#include <sys/mman.h>

#include "exec/cputlb.h"
#include "mmu.h"

/* Of an entry that maps nothing; no address has such a tag. */
static const CPUTLBEntry nothing = {{.addr_read = -1, .addr_write = -1, .addr_code = -1}};

/* The modes of QEMU's MMU_*_IDX come in pairs for 64- and 32-bit code, which
 * see the same pages. */
static struct tlb_mode *mode_of(struct softcpu *cpu, int mmu_index) {
  return &cpu->modes[mmu_index / 2];
}

/* The high bit: between Xen's hole or Linux's direct map, and Linux's vmalloc
 * space or text. */
enum { HALF_BIT = 40, HALF_ENTRIES = TLB_ENTRIES / 2 };
#define HALF_BYTES (HALF_ENTRIES * sizeof(CPUTLBEntry))
#define HALF_OFFSET (UINT64_C(1) << (HALF_BIT - TARGET_PAGE_BITS + CPU_TLB_ENTRY_BITS))

static CPUTLBEntry *entry_at(struct tlb_mode *mode, unsigned index) {
  uint8_t *half = mode->table + (index < HALF_ENTRIES ? 0 : HALF_OFFSET);
  return (CPUTLBEntry *)half + index % HALF_ENTRIES;
}

static unsigned index_of(uint64_t address) {
  return (address >> TARGET_PAGE_BITS) % HALF_ENTRIES + (address >> HALF_BIT & 1) * HALF_ENTRIES;
}

static bool map_table(struct tlb_mode *mode) {
  void *at =
      mmap(NULL, HALF_OFFSET + HALF_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return false;
  mode->table = at;
  return !mprotect(at, HALF_BYTES, PROT_READ | PROT_WRITE) &&
         !mprotect(mode->table + HALF_OFFSET, HALF_BYTES, PROT_READ | PROT_WRITE);
}

static void clear_table(struct tlb_mode *mode) {
  memset(mode->table, -1, HALF_BYTES);
  memset(mode->table + HALF_OFFSET, -1, HALF_BYTES);
}

/* Pages that displace each other in the table lie apart here. */
static struct tlb_old *old_slot(struct tlb_mode *mode, uint64_t address) {
  return &mode->old[(address >> TARGET_PAGE_BITS) * JUMP_HASH >> (64 - TLB_BITS)];
}

bool tlb_create(struct softcpu *cpu) {
  for (int i = 0; i < TLB_MODES; i++) {
    struct tlb_mode *mode = &cpu->modes[i];
    mode->used = malloc(TLB_ENTRIES * sizeof(*mode->used));
    mode->old = calloc(TLB_ENTRIES, sizeof(*mode->old));
    mode->generation = 1;
    if (!map_table(mode) || !mode->used || !mode->old) return false;
    clear_table(mode);
    mode->large_mask = -1;
    mode->large_address = -1;
  }
  for (int i = 0; i < NB_MMU_MODES; i++)
    cpu->x86.neg.tlb.f[i] = (CPUTLBDescFast){
        .mask = (HALF_ENTRIES - 1) << CPU_TLB_ENTRY_BITS | HALF_OFFSET,
        .table = (CPUTLBEntry *)mode_of(cpu, i)->table,
    };
  return true;
}

void tlb_free(struct softcpu *cpu) {
  for (int i = 0; i < TLB_MODES; i++) {
    if (cpu->modes[i].table) munmap(cpu->modes[i].table, HALF_OFFSET + HALF_BYTES);
    free(cpu->modes[i].old);
    free(cpu->modes[i].used);
  }
}

/* A guest flushes its TLB after having used a hundred pages or so: only those
 * are cleared. */
static void flush_mode(struct tlb_mode *mode) {
  if (mode->used_count == TLB_ENTRIES)
    clear_table(mode);
  else
    for (unsigned i = 0; i < mode->used_count; i++)
      *entry_at(mode, mode->used[i]) = nothing;
  mode->used_count = 0;
  mode->generation++;
  mode->large_address = mode->large_mask = -1;
}

static void flush(struct softcpu *cpu) {
  for (int i = 0; i < TLB_MODES; i++)
    flush_mode(&cpu->modes[i]);
}

void tlb_flush(CPUState *cs) {
  flush(softcpu_of(cs));
  jumps_forget(softcpu_of(cs));
}

/* Hardly ever does code lie elsewhere in the next address space. */
void tlb_flush_for_cr3(struct softcpu *cpu) {
  flush(cpu);
  jumps_check(cpu);
}

void tlb_flush_page(CPUState *cs, target_ulong address) {
  struct softcpu *cpu = softcpu_of(cs);
  for (int i = 0; i < TLB_MODES; i++) {
    struct tlb_mode *mode = &cpu->modes[i];
    CPUTLBEntry *entry = entry_at(mode, index_of(address));
    old_slot(mode, address)->generation = 0;
    if ((address & mode->large_mask) == mode->large_address) {
      flush_mode(mode);
      jumps_forget(cpu);
    } else if (tlb_hit_page(entry->addr_read, address & TARGET_PAGE_MASK) ||
               tlb_hit_page(tlb_addr_write(entry), address & TARGET_PAGE_MASK) ||
               tlb_hit_page(entry->addr_code, address & TARGET_PAGE_MASK))
      *entry = nothing;
  }
  jumps_forget_page(cpu, address);
}

/* Large pages are remembered as the smallest aligned region that has them all:
 * invlpg in it flushes everything, since the table may have any 4 KiB piece of
 * the page. */
static void note_large(struct tlb_mode *mode, uint64_t address, uint64_t bytes) {
  uint64_t mask = -bytes;
  if (mode->large_address == UINT64_MAX) {
    mode->large_address = address & mask;
  } else {
    mask &= mode->large_mask;
    while ((mode->large_address ^ address) & mask)
      mask <<= 1;
    mode->large_address &= mask;
  }
  mode->large_mask = mask;
}

static CPUTLBEntry make_entry(struct softcpu *cpu, uint64_t page, const struct mapping *mapping) {
  bool ram = mapping->gpa < cpu->ram_bytes;
  const uint8_t *host = ram ? cpu->ram + mapping->gpa : cpu->void_page;
  int watched = cpu_watchpoint_address_matches(softcpu_cs(cpu), page, TARGET_PAGE_SIZE);
  uint64_t read = page | (watched & BP_MEM_READ ? TLB_WATCHPOINT : 0);
  uint64_t write = page | (watched & BP_MEM_WRITE ? TLB_WATCHPOINT : 0) | (ram ? 0 : TLB_DISCARD_WRITE);
  return (CPUTLBEntry){{.addr_read = mapping->prot & PAGE_READ ? read : -1,
                        .addr_write = mapping->prot & PAGE_WRITE ? write : -1,
                        .addr_code = mapping->prot & PAGE_EXEC ? page : -1,
                        .addend = (uintptr_t)host - page}};
}

/* Puts what is known of a page into the table. */
static CPUTLBEntry *use_entry(struct softcpu *cpu, struct tlb_mode *mode, uint64_t page,
                              const CPUTLBEntry *known) {
  unsigned index = index_of(page);
  CPUTLBEntry *entry = entry_at(mode, index);
  if ((entry->addr_read & entry->addr_write & entry->addr_code) == (uint64_t)-1 &&
      mode->used_count < TLB_ENTRIES)
    mode->used[mode->used_count++] = index;
  *entry = *known;
  if (entry->addr_write != (uint64_t)-1 && !(entry->addr_write & TLB_DISCARD_WRITE) &&
      page_has_code(cpu, (uint8_t *)(page + entry->addend) - cpu->ram))
    entry->addr_write |= TLB_NOTDIRTY;
  return entry;
}

CPUTLBEntry *tlb_fill(struct softcpu *cpu, uint64_t address, MMUAccessType access, int mmu_index, bool quiet,
                      uintptr_t ra) {
  struct tlb_mode *mode = mode_of(cpu, mmu_index);
  struct tlb_old *old = old_slot(mode, address);
  uint64_t page = address & TARGET_PAGE_MASK;
  if (old->page == page && old->generation == mode->generation &&
      tlb_tag(&old->entry, access) != (uint64_t)-1)
    return use_entry(cpu, mode, page, &old->entry);
  struct mapping mapping;
  struct fault fault;
  if (!mmu_translate(cpu, address, access, mmu_index, &mapping, &fault)) {
    if (quiet) return NULL;
    mmu_raise(cpu, address, &fault, ra);
  }
  if (mapping.bytes > TARGET_PAGE_SIZE) note_large(mode, address, mapping.bytes);
  *old = (struct tlb_old){make_entry(cpu, page, &mapping), page, mode->generation};
  return use_entry(cpu, mode, page, &old->entry);
}

static void protect(struct tlb_mode *mode, uintptr_t host) {
  bool all = mode->used_count == TLB_ENTRIES;
  for (unsigned n = 0; n < mode->used_count; n++) {
    CPUTLBEntry *entry = entry_at(mode, all ? n : mode->used[n]);
    if (entry->addr_write != (uint64_t)-1 && (entry->addr_write & TARGET_PAGE_MASK) + entry->addend == host &&
        !(entry->addr_write & TLB_DISCARD_WRITE))
      entry->addr_write |= TLB_NOTDIRTY;
  }
}

/* The page has got its first block: stores to it take the slow path from now
 * on. */
void tlb_protect_code(ram_addr_t gpa) {
  struct softcpu *cpu = softcpu_of(current_cpu);
  uintptr_t host = (uintptr_t)cpu->ram + (gpa & TARGET_PAGE_MASK);
  FOR_EACH_SIBLING(one, cpu)
  for (int i = 0; i < TLB_MODES; i++)
    protect(&one->modes[i], host);
}

/* Where plain memory is, without any fault; NULL if there is anything to be
 * minded. */
void *tlb_vaddr_to_host(CPUX86State *env, abi_ptr address, MMUAccessType access, int mmu_index) {
  struct softcpu *cpu = softcpu_of(env_cpu(env));
  CPUTLBEntry *entry = tlb_slot(cpu, address, mmu_index);
  if (!tlb_hit(tlb_tag(entry, access), address)) entry = tlb_fill(cpu, address, access, mmu_index, true, 0);
  if (!entry || tlb_tag(entry, access) & ~TARGET_PAGE_MASK) return NULL;
  return (void *)(address + entry->addend);
}

/* Before code of a page is read. Whoever writes to it from outside and then finds no mark has written early
 * enough to be read. */
static void mark_code(struct softcpu *cpu, uint64_t gpa) {
  uint8_t *marks = cpu->blocks->marks;
  if (!marks || gpa >= cpu->ram_bytes || marks[gpa >> TARGET_PAGE_BITS]) return;
  qatomic_set(&marks[gpa >> TARGET_PAGE_BITS], 1);
  smp_mb();
}

/* Physical address for fetching code; RAM, or the page behind it for all that
 * is beyond (blocks.c). Raises page faults. With `host`, it is to be translated. */
tb_page_addr_t get_page_addr_code_hostp(CPUX86State *env, target_ulong address, void **host) {
  struct softcpu *cpu = softcpu_of(env_cpu(env));
  CPUTLBEntry *entry = tlb_entry_for(cpu, address, MMU_INST_FETCH, cpu_mmu_index(env, true), 0);
  uint8_t *at = (uint8_t *)(address + entry->addend);
  uint64_t offset = at - cpu->ram;
  if (host) {
    *host = at;
    mark_code(cpu, offset);
  }
  return offset < cpu->ram_bytes ? offset : cpu->ram_bytes + (at - cpu->void_page);
}
