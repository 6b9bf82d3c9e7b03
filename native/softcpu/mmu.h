/* Address translation (mmu.c) and what is remembered of it (tlb.c). */
#ifndef SOFTCPU_MMU_H
#define SOFTCPU_MMU_H

#include "engine.h"

struct mapping {
  uint64_t gpa;   /* of the 4 KiB page */
  uint64_t bytes; /* of the page that the tables map */
  int prot;
};

struct fault {
  int vector;
  uint32_t error;
};

bool mmu_translate(struct softcpu *cpu, uint64_t address, MMUAccessType access, int mmu_index,
                   struct mapping *mapping, struct fault *fault);
/* Whether all these pages of code are still where they were. Maybe not, if that takes long to find out. */
bool mmu_has_code(struct softcpu *cpu, const struct jump_kind *kind, bool user);
G_NORETURN void mmu_raise(struct softcpu *cpu, uint64_t address, const struct fault *fault, uintptr_t ra);

static inline CPUTLBEntry *tlb_slot(struct softcpu *cpu, uint64_t address, int mmu_index) {
  CPUTLBDescFast *fast = &cpu->x86.neg.tlb.f[mmu_index];
  return (CPUTLBEntry *)((uint8_t *)fast->table +
                         (address >> (TARGET_PAGE_BITS - CPU_TLB_ENTRY_BITS) & fast->mask));
}

static inline uint64_t tlb_tag(const CPUTLBEntry *entry, MMUAccessType access) {
  return access == MMU_DATA_LOAD    ? entry->addr_read
         : access == MMU_DATA_STORE ? entry->addr_write
                                    : entry->addr_code;
}

/* The entry through which `address` may be accessed, filled in if need be.
 * Raises the fault, or gives NULL for it when `quiet`. */
CPUTLBEntry *tlb_fill(struct softcpu *cpu, uint64_t address, MMUAccessType access, int mmu_index, bool quiet,
                      uintptr_t ra);

static inline CPUTLBEntry *tlb_entry_for(struct softcpu *cpu, uint64_t address, MMUAccessType access,
                                         int mmu_index, uintptr_t ra) {
  CPUTLBEntry *entry = tlb_slot(cpu, address, mmu_index);
  if (likely(tlb_hit(tlb_tag(entry, access), address))) return entry;
  return tlb_fill(cpu, address, access, mmu_index, false, ra);
}

#endif
