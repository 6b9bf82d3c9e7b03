/* Page types, and the entries of page tables, for the hypercalls in mmu.c. */
#ifndef XENNER_MONITOR_MM_H
#define XENNER_MONITOR_MM_H

#include "monitor.h"

#define PAGE_PRESENT 1ul
#define PAGE_RW 2ul
#define NR_ENTRIES 512

static inline u64 *info_of(u64 mfn) {
  return (u64 *)DOMAIN->page_info + mfn;
}
static inline u64 count_of(u64 info) {
  return info & PGT_count_mask;
}
static inline u64 entry_mfn(u64 entry) {
  return (entry & PTE_ADDRESS) >> 12;
}
static inline int is_hole_slot(u64 level, u64 index) {
  return level == PGT_l4_page_table && index >= HOLE_FIRST_SLOT && index <= HOLE_LAST_SLOT;
}
/* __addr_ok: canonical, and not in the hole. */
static inline int address_ok(u64 address) {
  return address < 1ul << 47 || address >= HOLE_END;
}
/* The guest's RAM, and what Xen shares with it. */
static inline int is_owned(u64 mfn) {
  return mfn < DOMAIN->total_pages && !(*info_of(mfn) & PGC_xen);
}

/* PGT_* with a reference, otherwise PGT_none. */
static inline u64 type_of(u64 mfn) {
  if (!is_owned(mfn)) return PGT_none;
  u64 info = *info_of(mfn);
  return count_of(info) ? info & PGT_type_mask : PGT_none;
}

/* mm.c: each 0 or an errno; level is the type of the frame that holds the entry. */
s64 mod_l1_entry(u64 *entry, u64 value, int preserve_ad);
s64 mod_table_entry(struct vcpu_area *v, u64 *entry, u64 value, u64 level, int preserve_ad);
s64 pin_table(struct vcpu_area *v, u64 mfn, u64 level);
s64 unpin_table(struct vcpu_area *v, u64 mfn);
s64 new_user_baseptr(struct vcpu_area *v, u64 mfn);

#endif
