/* A helper's access to memory in the kernel's name: descriptors, stacks, the
 * TSS. Delivering an exception and returning from it is a score of them. */
#ifndef SOFTCPU_ACCESS_H
#define SOFTCPU_ACCESS_H

#include "exec/cpu_ldst.h"
#include "mmu.h"

/* Where plain memory is that the TLB has; else NULL. */
static inline void *access_host(CPUX86State *env, uint64_t address, unsigned bytes, MMUAccessType access) {
  CPUTLBEntry *entry = tlb_slot(softcpu_of(env_cpu(env)), address, cpu_mmu_index_kernel(env));
  bool known = tlb_tag(entry, access) == (address & TARGET_PAGE_MASK) &&
               (address & ~TARGET_PAGE_MASK) + bytes <= TARGET_PAGE_SIZE;
  return likely(known) ? (void *)(address + entry->addend) : NULL;
}

static inline uint64_t access_load(CPUX86State *env, uint64_t address, unsigned bytes, uintptr_t ra) {
  const void *host = access_host(env, address, bytes, MMU_DATA_LOAD);
  int mmu = cpu_mmu_index_kernel(env);
  switch (bytes) {
  case 1:
    return host ? ldub_p(host) : cpu_ldub_mmuidx_ra(env, address, mmu, ra);
  case 2:
    return host ? lduw_le_p(host) : cpu_lduw_mmuidx_ra(env, address, mmu, ra);
  case 4:
    return host ? (uint32_t)ldl_le_p(host) : cpu_ldl_mmuidx_ra(env, address, mmu, ra);
  default:
    return host ? ldq_le_p(host) : cpu_ldq_mmuidx_ra(env, address, mmu, ra);
  }
}

static inline void access_store(CPUX86State *env, uint64_t address, uint64_t value, unsigned bytes,
                                uintptr_t ra) {
  void *host = access_host(env, address, bytes, MMU_DATA_STORE);
  int mmu = cpu_mmu_index_kernel(env);
  switch (bytes) {
  case 1:
    host ? stb_p(host, value) : cpu_stb_mmuidx_ra(env, address, value, mmu, ra);
    break;
  case 2:
    host ? stw_le_p(host, value) : cpu_stw_mmuidx_ra(env, address, value, mmu, ra);
    break;
  case 4:
    host ? stl_le_p(host, value) : cpu_stl_mmuidx_ra(env, address, value, mmu, ra);
    break;
  default:
    host ? stq_le_p(host, value) : cpu_stq_mmuidx_ra(env, address, value, mmu, ra);
  }
}

#endif
