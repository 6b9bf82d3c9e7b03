/*
 * Page types and page-table updates: the rules of xen/arch/x86/mm.c that a guest can see. A frame is a page
 * table of one level, a descriptor page, or writable, never two at once; a table is checked whole when it
 * becomes one. The same rules stand in src/xenner/mm, which decides wherever this file is switched off or
 * leaves a call to it.
 */
#include "mm.h"

#define PAGE_ACCESSED_DIRTY 0x60ul
/* PWT, PCD and PAT. */
#define PAGE_CACHE_ATTRS 0x98ul
/* base_disallow_mask (xen/arch/x86/mm.c): PWT, PCD, PSE and GLOBAL. */
#define TABLE_DISALLOWED 0x198ul
/* Without FASTPATH_FLAG_WHITELIST: an entry that keeps these keeps its references. */
#define REFERENCE_MASK (PTE_ADDRESS | 0x9bul)
#define INVALID_MFN (PTE_ADDRESS >> 12)

static inline void put_table(struct vcpu_area *v, u64 mfn, u64 level, int linear);

void flush_tlb(struct vcpu_area *v) {
  if (DOMAIN->nr_vcpus == 1) DOMAIN->flush_clock++;
  v->pending &= ~(u64)PENDING_CR3;
  load_cr3(v->cr3);
}

int is_l1_table(u64 mfn) {
  return mfn < DOMAIN->nr_pages && type_of(mfn) == PGT_l1_page_table;
}

#define PGC_special (PGC_xen | PGC_shared)

static s64 get_special(u64 info, u64 entry) {
  if (info & PGC_xen) return -XEN_EBUSY;
  return entry & PAGE_CACHE_ATTRS ? -XEN_EACCES : 0;
}

/*
 * get_page_from_l1e: a writable mapping is a reference to a writable page. These two run 512 times for a
 * table: what does not change meanwhile is handed in.
 */
static inline s64 get_l1(u64 *infos, u64 total_pages, u64 entry) {
  u64 mfn = entry_mfn(entry);
  if (unlikely(mfn >= total_pages)) return mfn == INVALID_MFN ? -XEN_EINVAL : -XEN_EPERM;
  u64 info = infos[mfn];
  if (unlikely(info & PGC_special)) return get_special(info, entry);
  if (!(entry & PAGE_RW)) return 0;
  if ((info & PGT_type_mask) != PGT_writable_page) {
    if (count_of(info)) return -XEN_EBUSY;
    info = (info & ~PGT_type_mask) | PGT_writable_page;
  }
  if (unlikely(count_of(info) == PGT_count_mask)) return -XEN_EBUSY;
  infos[mfn] = info + PGT_count_one;
  return 0;
}

static inline void put_l1(u64 *infos, u64 total_pages, u64 entry) {
  u64 mfn = entry_mfn(entry);
  if (!(entry & PAGE_RW) || unlikely(mfn >= total_pages)) return;
  u64 info = infos[mfn];
  if ((info & (PGT_type_mask | PGC_special)) != PGT_writable_page || !count_of(info)) return;
  info -= PGT_count_one;
  if (!count_of(info)) info = ((u32)info & ~PGT_type_mask) | DOMAIN->flush_clock << PGT_stamp_shift;
  infos[mfn] = info;
}

/*
 * An entry may refer read-only to a table of its own level, so that the tables show up in the address space
 * (get_linear_pagetable). A table that holds such entries cannot itself be referred to so: the upper half of
 * page_info, which a table does not need as a stamp, counts its entries, or below zero its users
 * (linear_pt_count).
 */
static inline s64 linear_count(u64 info) {
  return (s64)info >> 32;
}

static void add_linear(u64 *info, s64 change) {
  *info = (u32)*info | (u64)(linear_count(*info) + change) << 32;
}

static int get_linear(u64 table, u64 entry, u64 level) {
  u64 mfn = entry_mfn(entry);
  if (entry & PAGE_RW) return 0;
  if (mfn == table) return 1;
  if (mfn >= DOMAIN->nr_pages || type_of(mfn) != level) return 0;
  u64 *holder = info_of(table), *target = info_of(mfn);
  if (linear_count(*holder) < 0 || linear_count(*target) > 0 || count_of(*target) == PGT_count_mask) return 0;
  add_linear(holder, 1);
  add_linear(target, -1);
  *target += PGT_count_one;
  return 1;
}

static s64 get_entry(struct vcpu_area *v, u64 table, u64 entry, u64 level);

/* linear: already below a linear entry, which can hold no other; this bounds the depth. */
static void put_entry(struct vcpu_area *v, u64 table, u64 entry, u64 level, int linear) {
  u64 mfn = entry_mfn(entry);
  if (mfn == table) return;
  if (likely(type_of(mfn) != level)) {
    put_table(v, mfn, level - 1, linear);
  } else if (!linear && mfn < DOMAIN->nr_pages) {
    add_linear(info_of(mfn), 1);
    add_linear(info_of(table), -1);
    put_table(v, mfn, level, 1);
  }
}

static void put_l1_entries(const u64 *entry, const u64 *end) {
  u64 *infos = info_of(0), total_pages = DOMAIN->total_pages;
  for (; entry < end; entry++)
    if (*entry & PAGE_PRESENT) put_l1(infos, total_pages, *entry);
}

static void put_entries(struct vcpu_area *v, u64 mfn, u64 level, u64 end, int linear) {
  const u64 *table = direct(mfn << 12);
  if (level == PGT_l1_page_table) return put_l1_entries(table, table + end);
  if (level < PGT_l1_page_table || level > PGT_l4_page_table) return;
  for (u64 i = 0; i < end; i++)
    if ((table[i] & PAGE_PRESENT) && !is_hole_slot(level, i)) put_entry(v, mfn, table[i], level, linear);
}

/* init_xen_l4_slots: whatever the guest had there is overwritten. */
static void fill_hole(u64 *table) {
  for (u64 i = HOLE_FIRST_SLOT; i <= HOLE_LAST_SLOT; i++)
    table[i] = 0;
  table[XEN_SLOT] = DOMAIN->xen_l4_entry;
  table[DIRECT_SLOT] = DOMAIN->direct_l4_entry;
}

static s64 validate_l1(const u64 *table) {
  u64 *infos = info_of(0), total_pages = DOMAIN->total_pages;
  for (const u64 *entry = table; entry < table + NR_ENTRIES; entry++) {
    if (!(*entry & PAGE_PRESENT)) continue;
    s64 error = get_l1(infos, total_pages, *entry);
    if (unlikely(error)) {
      put_l1_entries(table, entry);
      return error;
    }
  }
  return 0;
}

/* alloc_l1_table .. alloc_l4_table: all entries, or none. */
static s64 validate(struct vcpu_area *v, u64 mfn, u64 level) {
  u64 *table = direct(mfn << 12);
  if (level == PGT_l1_page_table) return validate_l1(table);
  for (u64 i = 0; i < NR_ENTRIES; i++) {
    if (!(table[i] & PAGE_PRESENT) || is_hole_slot(level, i)) continue;
    s64 error = get_entry(v, mfn, table[i], level);
    if (unlikely(error)) {
      put_entries(v, mfn, level, i, 0);
      return error;
    }
  }
  if (level == PGT_l4_page_table) fill_hole(table);
  return 0;
}

static s64 first_reference(struct vcpu_area *v, u64 mfn, u64 level) {
  u64 *info = info_of(mfn);
  /* A stale writable translation must not outlive the change of type (get_page_type's flush). */
  if (*info >> PGT_stamp_shift == (u32)DOMAIN->flush_clock)
    v->pending |= DOMAIN->nr_vcpus == 1 ? PENDING_CR3 : PENDING_FLUSH_ALL;
  *info = ((u32)*info & ~PGT_type_mask) | level | PGT_count_one;
  s64 error = validate(v, mfn, level);
  if (error) *info = (u32)*info & ~(PGT_type_mask | PGT_count_mask);
  return error;
}

/* get_page_and_type_from_mfn */
static inline s64 get_table(struct vcpu_area *v, u64 mfn, u64 level) {
  if (mfn >= DOMAIN->nr_pages) return -XEN_EINVAL;
  u64 *info = info_of(mfn), now = *info;
  if (now & PGC_special) return -XEN_EINVAL;
  if (!count_of(now)) return first_reference(v, mfn, level);
  if ((now & PGT_type_mask) != level || count_of(now) == PGT_count_mask) return -XEN_EINVAL;
  *info = now + PGT_count_one;
  return 0;
}

static void last_reference(struct vcpu_area *v, u64 mfn, u64 level, int linear) {
  u64 *info = info_of(mfn);
  put_entries(v, mfn, level, NR_ENTRIES, linear);
  *info = (u32)*info & ~(PGT_type_mask | PGT_count_mask);
}

static inline void put_table(struct vcpu_area *v, u64 mfn, u64 level, int linear) {
  if (mfn >= DOMAIN->nr_pages) return;
  u64 *info = info_of(mfn), now = *info;
  if (!count_of(now) || (now & PGT_type_mask) != level) return;
  *info = now - PGT_count_one;
  if (count_of(now) == PGT_count_one) last_reference(v, mfn, level, linear);
}

static s64 get_entry(struct vcpu_area *v, u64 table, u64 entry, u64 level) {
  if (entry & TABLE_DISALLOWED) return -XEN_EINVAL;
  s64 error = get_table(v, entry_mfn(entry), level - 1);
  return unlikely(error == -XEN_EINVAL) && get_linear(table, entry, level) ? 0 : error;
}

/* Another CPU may set A or D at any time: with MMU_PT_UPDATE_PRESERVE_AD none of them is lost. */
static void write_entry(u64 *entry, u64 value, int preserve_ad) {
  if (!preserve_ad) {
    *(volatile u64 *)entry = value;
    return;
  }
  u64 old = *(volatile u64 *)entry;
  while (!__atomic_compare_exchange_n(entry, &old, value | (old & PAGE_ACCESSED_DIRTY), 0, __ATOMIC_SEQ_CST,
                                      __ATOMIC_SEQ_CST)) {
  }
}

s64 mod_l1_entry(u64 *entry, u64 value, int preserve_ad) {
  u64 old = *entry, *infos = info_of(0), total_pages = DOMAIN->total_pages;
  if (value & PAGE_PRESENT) {
    if (!((old ^ value) & REFERENCE_MASK)) {
      write_entry(entry, value, preserve_ad);
      return 0;
    }
    s64 error = get_l1(infos, total_pages, value);
    if (unlikely(error)) return error;
  }
  write_entry(entry, value, preserve_ad);
  if (old & PAGE_PRESENT) put_l1(infos, total_pages, old);
  return 0;
}

/* mod_l2_entry .. mod_l4_entry */
s64 mod_table_entry(struct vcpu_area *v, u64 *entry, u64 value, u64 level, int preserve_ad) {
  u64 old = *entry, table = ((u64)entry - DIRECT_VA) >> 12;
  if (value & PAGE_PRESENT) {
    if (value & TABLE_DISALLOWED) return -XEN_EINVAL;
    if (!((old ^ value) & REFERENCE_MASK)) {
      write_entry(entry, value, preserve_ad);
      return 0;
    }
    s64 error = get_entry(v, table, value, level);
    if (unlikely(error)) return error;
  }
  write_entry(entry, value, preserve_ad);
  if (old & PAGE_PRESENT) put_entry(v, table, old, level, 0);
  return 0;
}

s64 l1_entry_written(struct vcpu_area *v, u64 old, u64 value) {
  u64 *infos = info_of(0), total_pages = DOMAIN->total_pages;
  if (value & PAGE_PRESENT) {
    s64 error = get_l1(infos, total_pages, value);
    if (error) return error;
  }
  if (old & PAGE_PRESENT) put_l1(infos, total_pages, old);
  return 0;
}

u64 *walk_to_l1(struct vcpu_area *v, u64 address) {
  u64 table = v->cr3 & PTE_ADDRESS;
  for (int shift = 39;; shift -= 9) {
    if (table >> 12 >= DOMAIN->total_pages) return 0;
    u64 *entry = (u64 *)direct(table) + ((address >> shift) & (NR_ENTRIES - 1));
    if (shift == 12) return entry;
    if (!(*entry & PAGE_PRESENT) || (*entry & 0x80)) return 0;
    table = *entry & PTE_ADDRESS;
  }
}

s64 pin_table(struct vcpu_area *v, u64 mfn, u64 level) {
  s64 error = get_table(v, mfn, level);
  if (error) return error;
  u64 *info = info_of(mfn);
  if (*info & PGT_pinned) {
    put_table(v, mfn, level, 0);
    return -XEN_EINVAL;
  }
  *info |= PGT_pinned;
  return 0;
}

s64 unpin_table(struct vcpu_area *v, u64 mfn) {
  if (mfn >= DOMAIN->nr_pages) return -XEN_EINVAL;
  u64 *info = info_of(mfn);
  if (!(*info & PGT_pinned)) return -XEN_EINVAL;
  *info &= ~PGT_pinned;
  put_table(v, mfn, *info & PGT_type_mask, 0);
  return 0;
}

s64 new_baseptr(struct vcpu_area *v, u64 mfn) {
  if (v->cr3 >> 12 != mfn) {
    s64 error = get_table(v, mfn, PGT_l4_page_table);
    if (error) return error;
    put_table(v, v->cr3 >> 12, PGT_l4_page_table, 0);
    v->cr3 = mfn << 12;
    if (unlikely(v->ldt_mapped)) unmap_ldt(v);
  }
  flush_tlb(v);
  return 0;
}

s64 new_user_baseptr(struct vcpu_area *v, u64 mfn) {
  u64 old = v->user_cr3 >> 12;
  if (mfn == old) return 0;
  if (mfn) {
    s64 error = get_table(v, mfn, PGT_l4_page_table);
    if (error) return error;
  }
  if (old) put_table(v, old, PGT_l4_page_table, 0);
  v->user_cr3 = mfn << 12;
  /* Without it there is no way to user mode: not by SYSRET either. */
  if (!mfn) v->sysret_cs = SYSRET_NONE;
  return 0;
}
