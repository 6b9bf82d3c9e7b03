/* Loads and stores that translated code does not do by itself: pages that are
 * not in the TLB, accesses over two pages, flagged pages; and those of the
 * helpers. */
#include "engine.h"

#include "exec/cpu_ldst.h"
#include "exec/helper-proto.h"
#include "exec/translate-all.h"
#include "mmu.h"
#include "qemu/atomic128.h"
#include "target/i386/tcg/helper-tcg.h"
#include "tcg/tcg-ldst.h"

static bool over_two_pages(uint64_t address, unsigned bytes) {
  return (address & ~TARGET_PAGE_MASK) + bytes > TARGET_PAGE_SIZE;
}

/* An access that must be aligned (MOVAPS): #GP. */
static void check_alignment(CPUX86State *env, uint64_t address, MemOpIdx oi, MMUAccessType access,
                            uintptr_t ra) {
  if (unlikely(address & ((1u << get_alignment_bits(get_memop(oi))) - 1)))
    handle_unaligned_access(env, address, access, ra);
}

/* Minds what a tag's flags say before an access. */
static void before_access(struct softcpu *cpu, CPUTLBEntry *entry, uint64_t address, unsigned bytes,
                          bool store, uintptr_t ra) {
  uint64_t flags = store ? entry->addr_write : entry->addr_read;
  if (flags & TLB_WATCHPOINT)
    cpu_check_watchpoint(softcpu_cs(cpu), address, bytes, MEMTXATTRS_UNSPECIFIED,
                         store ? BP_MEM_WRITE : BP_MEM_READ, ra);
  if (store && flags & TLB_NOTDIRTY) {
    uint64_t gpa = (uint8_t *)(address + entry->addend) - cpu->ram;
    tb_invalidate_phys_page_fast(NULL, gpa, bytes, ra);
    if (!page_has_code(cpu, gpa)) entry->addr_write &= ~(uint64_t)TLB_NOTDIRTY;
  }
}

static uint64_t read_host(const void *host, unsigned bytes) {
  switch (bytes) {
  case 1:
    return ldub_p(host);
  case 2:
    return lduw_le_p(host);
  case 4:
    return (uint32_t)ldl_le_p(host);
  default:
    return ldq_le_p(host);
  }
}

static void write_host(void *host, uint64_t value, unsigned bytes) {
  switch (bytes) {
  case 1:
    stb_p(host, value);
    break;
  case 2:
    stw_le_p(host, value);
    break;
  case 4:
    stl_le_p(host, value);
    break;
  default:
    stq_le_p(host, value);
  }
}

static uint64_t load_byte(struct softcpu *cpu, uint64_t address, MMUAccessType access, int mmu_index,
                          uintptr_t ra) {
  CPUTLBEntry *entry = tlb_entry_for(cpu, address, access, mmu_index, ra);
  if (access == MMU_DATA_LOAD && unlikely(entry->addr_read & ~TARGET_PAGE_MASK))
    before_access(cpu, entry, address, 1, false, ra);
  return ldub_p((const void *)(address + entry->addend));
}

static uint64_t load_over_two_pages(struct softcpu *cpu, uint64_t address, MMUAccessType access,
                                    int mmu_index, unsigned bytes, uintptr_t ra) {
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; i++)
    value |= load_byte(cpu, address + i, access, mmu_index, ra) << i * 8;
  return value;
}

static inline uint64_t load(CPUX86State *env, uint64_t address, MemOpIdx oi, unsigned bytes,
                            MMUAccessType access, uintptr_t ra) {
  struct softcpu *cpu = softcpu_of(env_cpu(env));
  int mmu_index = get_mmuidx(oi);
  check_alignment(env, address, oi, access, ra);
  if (unlikely(over_two_pages(address, bytes)))
    return load_over_two_pages(cpu, address, access, mmu_index, bytes, ra);
  CPUTLBEntry *entry = tlb_entry_for(cpu, address, access, mmu_index, ra);
  if (access == MMU_DATA_LOAD && unlikely(entry->addr_read & ~TARGET_PAGE_MASK))
    before_access(cpu, entry, address, bytes, false, ra);
  return read_host((const void *)(address + entry->addend), bytes);
}

/* Both pages must be there before either is written. */
static void store_over_two_pages(struct softcpu *cpu, uint64_t address, uint64_t value, int mmu_index,
                                 unsigned bytes, uintptr_t ra) {
  for (int pass = 0; pass < 2; pass++) {
    for (unsigned i = 0; i < bytes; i++) {
      CPUTLBEntry *entry = tlb_entry_for(cpu, address + i, MMU_DATA_STORE, mmu_index, ra);
      if (!pass && entry->addr_write & ~TARGET_PAGE_MASK) before_access(cpu, entry, address + i, 1, true, ra);
      if (pass && !(entry->addr_write & TLB_DISCARD_WRITE))
        stb_p((void *)(address + i + entry->addend), value >> i * 8);
    }
  }
}

static inline void store(CPUX86State *env, uint64_t address, uint64_t value, MemOpIdx oi, unsigned bytes,
                         uintptr_t ra) {
  struct softcpu *cpu = softcpu_of(env_cpu(env));
  int mmu_index = get_mmuidx(oi);
  check_alignment(env, address, oi, MMU_DATA_STORE, ra);
  if (unlikely(over_two_pages(address, bytes))) {
    store_over_two_pages(cpu, address, value, mmu_index, bytes, ra);
    return;
  }
  CPUTLBEntry *entry = tlb_entry_for(cpu, address, MMU_DATA_STORE, mmu_index, ra);
  if (unlikely(entry->addr_write & ~TARGET_PAGE_MASK)) {
    before_access(cpu, entry, address, bytes, true, ra);
    if (entry->addr_write & TLB_DISCARD_WRITE) return;
  }
  write_host((void *)(address + entry->addend), value, bytes);
}

/* QEMU's names for all of them: from translated code (helper_*), from helpers
 * (cpu_*_mmu), for fetches (cpu_*_code). `ra` of the first is the return
 * address, which is one past the instruction that it is about.
 */
#define LOAD(helper, function, type, bytes, swap)                                                            \
  tcg_target_ulong helper(CPUX86State *env, target_ulong address, MemOpIdx oi, uintptr_t ra) {               \
    return swap(load(env, address, oi, bytes, MMU_DATA_LOAD, ra));                                           \
  }                                                                                                          \
  type function(CPUX86State *env, abi_ptr address, MemOpIdx oi, uintptr_t ra) {                              \
    return swap(load(env, address, oi, bytes, MMU_DATA_LOAD, ra));                                           \
  }
#define SAME(value) (value)
LOAD(helper_ret_ldub_mmu, cpu_ldb_mmu, uint8_t, 1, SAME)
LOAD(helper_le_lduw_mmu, cpu_ldw_le_mmu, uint16_t, 2, SAME)
LOAD(helper_le_ldul_mmu, cpu_ldl_le_mmu, uint32_t, 4, SAME)
LOAD(helper_le_ldq_mmu, cpu_ldq_le_mmu, uint64_t, 8, SAME)
LOAD(helper_be_lduw_mmu, cpu_ldw_be_mmu, uint16_t, 2, bswap16)
LOAD(helper_be_ldul_mmu, cpu_ldl_be_mmu, uint32_t, 4, bswap32)
LOAD(helper_be_ldq_mmu, cpu_ldq_be_mmu, uint64_t, 8, bswap64)

#define STORE(helper, function, type, argument, bytes, swap)                                                 \
  void helper(CPUX86State *env, target_ulong address, argument value, MemOpIdx oi, uintptr_t ra) {           \
    store(env, address, swap(value), oi, bytes, ra);                                                         \
  }                                                                                                          \
  void function(CPUX86State *env, abi_ptr address, type value, MemOpIdx oi, uintptr_t ra) {                  \
    store(env, address, swap(value), oi, bytes, ra);                                                         \
  }
STORE(helper_ret_stb_mmu, cpu_stb_mmu, uint8_t, uint8_t, 1, SAME)
STORE(helper_le_stw_mmu, cpu_stw_le_mmu, uint16_t, uint16_t, 2, SAME)
STORE(helper_le_stl_mmu, cpu_stl_le_mmu, uint32_t, uint32_t, 4, SAME)
STORE(helper_le_stq_mmu, cpu_stq_le_mmu, uint64_t, uint64_t, 8, SAME)
STORE(helper_be_stw_mmu, cpu_stw_be_mmu, uint16_t, uint16_t, 2, bswap16)
STORE(helper_be_stl_mmu, cpu_stl_be_mmu, uint32_t, uint32_t, 4, bswap32)
STORE(helper_be_stq_mmu, cpu_stq_be_mmu, uint64_t, uint64_t, 8, bswap64)

#define FETCH(function, type, op, bytes)                                                                     \
  type function(CPUX86State *env, abi_ptr address) {                                                         \
    return load(env, address, make_memop_idx(op, cpu_mmu_index(env, true)), bytes, MMU_INST_FETCH, 0);       \
  }
FETCH(cpu_ldub_code, uint32_t, MO_UB, 1)
FETCH(cpu_lduw_code, uint32_t, MO_LEUW, 2)
FETCH(cpu_ldl_code, uint32_t, MO_LEUL, 4)
FETCH(cpu_ldq_code, uint64_t, MO_LEUQ, 8)

#include "accel/tcg/ldst_common.c.inc"

/* Atomic operations of parallel translated code: only plain, aligned memory. */
static void *atomic_mmu_lookup(CPUX86State *env, target_ulong address, MemOpIdx oi, int bytes, int prot,
                               uintptr_t ra) {
  struct softcpu *cpu = softcpu_of(env_cpu(env));
  bool writes = prot & PAGE_WRITE;
  ra -= GETPC_ADJ;
  check_alignment(env, address, oi, MMU_DATA_STORE, ra);
  if (address & (bytes - 1)) cpu_loop_exit_atomic(env_cpu(env), ra);
  CPUTLBEntry *entry =
      tlb_entry_for(cpu, address, writes ? MMU_DATA_STORE : MMU_DATA_LOAD, get_mmuidx(oi), ra);
  before_access(cpu, entry, address, bytes, writes, ra);
  if (writes && entry->addr_write & TLB_DISCARD_WRITE) cpu_loop_exit_atomic(env_cpu(env), ra);
  return (void *)(address + entry->addend);
}

#define ATOMIC_NAME(X) glue(glue(glue(cpu_atomic_##X, SUFFIX), END), _mmu)
#define ATOMIC_MMU_CLEANUP
#include "accel/tcg/atomic_common.c.inc"
#define DATA_SIZE 1
#include "accel/tcg/atomic_template.h"
#define DATA_SIZE 2
#include "accel/tcg/atomic_template.h"
#define DATA_SIZE 4
#include "accel/tcg/atomic_template.h"
#define DATA_SIZE 8
#include "accel/tcg/atomic_template.h"
#if HAVE_CMPXCHG128 || HAVE_ATOMIC128
#define DATA_SIZE 16
#include "accel/tcg/atomic_template.h"
#endif
