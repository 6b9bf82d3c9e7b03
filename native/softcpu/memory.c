/* Guest physical memory as the TLB sees it. RAM is at physical address 0. Any page beyond is one page of
 * ones, which the TLB never lets a store reach. Its frame in the table of blocks is the one after RAM: code
 * there is translated like any other, and is an undefined opcode. */
#include "engine.h"

#include "exec/memory.h"
#include "exec/ram_addr.h"

static MemoryRegion ram, beyond;

MemoryRegionSection *address_space_translate_for_iotlb(CPUState *cs, int asidx, hwaddr address, hwaddr *xlat,
                                                       hwaddr *size, MemTxAttrs attrs, int *prot) {
  static MemoryRegionSection ram_section = {.mr = &ram}, beyond_section = {.mr = &beyond, .readonly = true};
  struct softcpu *cpu = softcpu_of(cs);
  *xlat = MIN(address, cpu->ram_bytes);
  return address < cpu->ram_bytes ? &ram_section : &beyond_section;
}

/* Never asked: no page is a device's. */
hwaddr memory_region_section_get_iotlb(CPUState *cs, MemoryRegionSection *section) {
  return 0;
}
MemoryRegionSection *iotlb_to_section(CPUState *cs, hwaddr index, MemTxAttrs attrs) {
  return NULL;
}

/* Where offset 0 of the region would be. */
void *memory_region_get_ram_ptr(MemoryRegion *mr) {
  struct softcpu *cpu = softcpu_of(current_cpu);
  return mr == &ram ? cpu->ram : cpu->void_page - cpu->ram_bytes;
}

ram_addr_t qemu_ram_addr_from_host_nofail(void *host) {
  struct softcpu *cpu = softcpu_of(current_cpu);
  uint64_t offset = (uint8_t *)host - cpu->ram;
  return offset < cpu->ram_bytes ? offset : cpu->ram_bytes + ((uint8_t *)host - cpu->void_page);
}

bool softcpu_page_has_code(ram_addr_t address) {
  return softcpu_of(current_cpu)->blocks.pages[address >> TARGET_PAGE_BITS];
}

/* The page has got its first block: writable translations of it must take the slow path from now on. */
void softcpu_watch_page(ram_addr_t address) {
  struct softcpu *cpu = softcpu_of(current_cpu);
  if (address < cpu->ram_bytes)
    tlb_reset_dirty(softcpu_cs(cpu), (uintptr_t)cpu->ram + (address & TARGET_PAGE_MASK), TARGET_PAGE_SIZE);
}
