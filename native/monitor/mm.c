/*
 * Page types and page-table updates: the rules of xen/arch/x86/mm.c that a guest can see. A frame is a page
 * table of one level, a descriptor page, or writable, never two at once; a table is checked whole when it
 * becomes one. The same rules stand in src/xenner/mm, which decides wherever this file is switched off.
 */
#include "monitor.h"

#define PAGE_PRESENT 1ul
#define PAGE_RW 2ul
#define PAGE_ACCESSED_DIRTY 0x60ul
/* BASE_DISALLOW_MASK (xen/arch/x86/include/asm/x86_64/page.h) without the cache attributes: PSE and GLOBAL.
 */
#define TABLE_DISALLOWED 0x180ul
#define L1_DISALLOWED 0x100ul
#define NR_ENTRIES 512

static s64 put_table(struct vcpu_area *v, u64 mfn, u64 level);

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

void flush_tlb(struct vcpu_area *v) {
  DOMAIN->flush_clock++;
  load_cr3(v->cr3);
}

int is_l1_table(u64 mfn) {
  if (mfn >= DOMAIN->nr_pages) return 0;
  u64 info = *info_of(mfn);
  return count_of(info) && (info & PGT_type_mask) == PGT_l1_page_table;
}

/* get_page_from_l1e: a writable mapping is a reference to a writable page. */
static s64 get_l1(u64 entry) {
  u64 mfn = entry_mfn(entry);
  if ((entry & L1_DISALLOWED) || mfn >= DOMAIN->total_pages) return -XEN_EINVAL;
  u64 *info = info_of(mfn);
  if (unlikely(*info & (PGC_xen | PGC_shared))) return *info & PGC_xen ? -XEN_EINVAL : 0;
  if (!(entry & PAGE_RW)) return 0;
  if (count_of(*info) && (*info & PGT_type_mask) != PGT_writable_page) return -XEN_EBUSY;
  if (count_of(*info) == PGT_count_mask) return -XEN_EBUSY;
  *info = ((*info & ~PGT_type_mask) | PGT_writable_page) + PGT_count_one;
  return 0;
}

static void put_l1(u64 entry) {
  u64 mfn = entry_mfn(entry);
  if (!(entry & PAGE_RW) || mfn >= DOMAIN->total_pages) return;
  u64 *info = info_of(mfn);
  if ((*info & (PGC_xen | PGC_shared)) || (*info & PGT_type_mask) != PGT_writable_page) return;
  if (!count_of(*info)) return;
  *info -= PGT_count_one;
  if (!count_of(*info)) *info = ((u32)*info & ~PGT_type_mask) | DOMAIN->flush_clock << PGT_stamp_shift;
}

static s64 get_entry(struct vcpu_area *v, u64 entry, u64 level);

static void put_entry(struct vcpu_area *v, u64 entry, u64 level) {
  if (!(entry & PAGE_PRESENT)) return;
  if (level == PGT_l1_page_table)
    put_l1(entry);
  else
    put_table(v, entry_mfn(entry), level - 1);
}

static void put_entries(struct vcpu_area *v, const u64 *table, u64 level, u64 end) {
  for (u64 i = 0; i < end; i++)
    if ((table[i] & PAGE_PRESENT) && !is_hole_slot(level, i)) put_entry(v, table[i], level);
}

/* alloc_l1_table .. alloc_l4_table: all entries, or none. */
static s64 validate(struct vcpu_area *v, u64 mfn, u64 level) {
  u64 *table = direct(mfn << 12);
  for (u64 i = 0; i < NR_ENTRIES; i++) {
    if (!(table[i] & PAGE_PRESENT) || is_hole_slot(level, i)) continue;
    s64 error = get_entry(v, table[i], level);
    if (unlikely(error)) {
      put_entries(v, table, level, i);
      return error;
    }
  }
  if (level == PGT_l4_page_table) {
    /* init_xen_l4_slots */
    table[XEN_SLOT] = DOMAIN->xen_l4_entry;
    table[DIRECT_SLOT] = DOMAIN->direct_l4_entry;
  }
  return 0;
}

/* get_page_and_type_from_mfn */
static s64 get_table(struct vcpu_area *v, u64 mfn, u64 level) {
  if (mfn >= DOMAIN->nr_pages) return -XEN_EINVAL;
  u64 *info = info_of(mfn);
  if (*info & (PGC_xen | PGC_shared)) return -XEN_EINVAL;
  if (count_of(*info)) {
    if ((*info & PGT_type_mask) != level) return -XEN_EINVAL;
    if (count_of(*info) == PGT_count_mask) return -XEN_EBUSY;
    *info += PGT_count_one;
    return 0;
  }
  /* A stale writable translation must not outlive the change of type (get_page_type's flush). */
  if (*info >> PGT_stamp_shift == (u32)DOMAIN->flush_clock) v->pending |= PENDING_CR3;
  *info = ((u32)*info & ~PGT_type_mask) | level | PGT_count_one;
  s64 error = validate(v, mfn, level);
  if (error) *info = (u32)*info & ~(PGT_type_mask | PGT_count_mask);
  return error;
}

static s64 put_table(struct vcpu_area *v, u64 mfn, u64 level) {
  if (mfn >= DOMAIN->nr_pages) return -XEN_EINVAL;
  u64 *info = info_of(mfn);
  if (!count_of(*info) || (*info & PGT_type_mask) != level) return -XEN_EINVAL;
  *info -= PGT_count_one;
  if (count_of(*info)) return 0;
  put_entries(v, direct(mfn << 12), level, NR_ENTRIES);
  *info = (u32)*info & ~PGT_type_mask;
  return 0;
}

static s64 get_entry(struct vcpu_area *v, u64 entry, u64 level) {
  if (level == PGT_l1_page_table) return get_l1(entry);
  if (entry & TABLE_DISALLOWED) return -XEN_EINVAL;
  return get_table(v, entry_mfn(entry), level - 1);
}

/* mod_l1_entry .. mod_l4_entry */
static s64 mod_typed_entry(struct vcpu_area *v, u64 *entry, u64 value, u64 level) {
  u64 old = *entry;
  if (value & PAGE_PRESENT) {
    s64 error = get_entry(v, value, level);
    if (unlikely(error)) return error;
  }
  *(volatile u64 *)entry = value;
  put_entry(v, old, level);
  return 0;
}

s64 l1_entry_written(struct vcpu_area *v, u64 old, u64 value) {
  if (value & PAGE_PRESENT) {
    s64 error = get_l1(value);
    if (error) return error;
  }
  put_entry(v, old, PGT_l1_page_table);
  return 0;
}

/* MMU_NORMAL_PT_UPDATE and MMU_PT_UPDATE_PRESERVE_AD; on a page of no table type it is a plain write. */
static s64 update_entry(struct vcpu_area *v, u64 gpa, u64 value, int preserve_ad) {
  u64 mfn = gpa >> 12;
  if (mfn >= DOMAIN->nr_pages) return -XEN_EINVAL;
  u64 info = *info_of(mfn), level = info & PGT_type_mask;
  u64 *entry = direct(gpa & ~7ul);
  if (preserve_ad) value |= *entry & PAGE_ACCESSED_DIRTY;
  if (!count_of(info) || level == PGT_writable_page) {
    *(volatile u64 *)entry = value;
    return 0;
  }
  if (level == PGT_seg_desc_page || is_hole_slot(level, (gpa >> 3) & (NR_ENTRIES - 1))) return -XEN_EINVAL;
  return mod_typed_entry(v, entry, value, level);
}

static s64 update_machphys(u64 gpa, u64 value) {
  u64 mfn = gpa >> 12;
  if (mfn >= DOMAIN->nr_pages) return -XEN_EINVAL;
  ((u64 *)DOMAIN->m2p)[mfn] = value;
  return 0;
}

static int is_self(u64 domid) {
  return (u16)domid == DOMID_SELF || (u16)domid == DOMAIN->domid;
}

static void report_done(u64 pointer, u32 done) {
  if (!pointer || !guest_range_ok(pointer, sizeof done)) return;
  put_guest(done, pointer, fault);
fault:
  return;
}

s64 fast_mmu_update(struct vcpu_area *v, const u64 *args) {
  u64 requests = args[0], count = (u32)args[1];
  s64 error = 0;
  u64 i;
  if ((count & (1ul << 31)) || !is_self(args[3]) || args[3] >> 16) return LEAVE_TO_HYPERVISOR;
  if (!guest_range_ok(requests, count * 16)) return -XEN_EFAULT;
  for (i = 0; i < count; i++, requests += 16) {
    u64 pointer, value;
    get_guest(pointer, requests, fault);
    get_guest(value, requests + 8, fault);
    switch (pointer & 3) {
    case MMU_NORMAL_PT_UPDATE:
      error = update_entry(v, pointer, value, 0);
      break;
    case MMU_PT_UPDATE_PRESERVE_AD:
      error = update_entry(v, pointer, value, 1);
      break;
    case MMU_MACHPHYS_UPDATE:
      error = update_machphys(pointer, value);
      break;
    default:
      error = -XEN_ENOSYS;
    }
    if (unlikely(error)) break;
  }
  report_done(args[2], i);
  return error;
fault:
  report_done(args[2], i);
  return -XEN_EFAULT;
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

s64 fast_update_va_mapping(struct vcpu_area *v, const u64 *args) {
  u64 address = args[0], flags = args[2];
  if (!guest_range_ok(address, 1)) return -XEN_EINVAL;
  u64 *entry = walk_to_l1(v, address);
  if (!entry || !is_l1_table(((u64)entry - DIRECT_VA) >> 12)) return -XEN_EINVAL;
  s64 error = mod_typed_entry(v, entry, args[1], PGT_l1_page_table);
  if (error) return error;
  switch (flags & UVMF_FLUSHTYPE_MASK) {
  case UVMF_TLB_FLUSH:
    flush_tlb(v);
    break;
  case UVMF_INVLPG:
    invlpg(address);
    break;
  }
  return 0;
}

static s64 pin_table(struct vcpu_area *v, u64 mfn, u64 level) {
  s64 error = get_table(v, mfn, level);
  if (error) return error;
  u64 *info = info_of(mfn);
  if (*info & PGT_pinned) {
    put_table(v, mfn, level);
    return -XEN_EINVAL;
  }
  *info |= PGT_pinned;
  return 0;
}

static s64 unpin_table(struct vcpu_area *v, u64 mfn) {
  if (mfn >= DOMAIN->nr_pages) return -XEN_EINVAL;
  u64 *info = info_of(mfn);
  if (!(*info & PGT_pinned)) return -XEN_EINVAL;
  *info &= ~PGT_pinned;
  return put_table(v, mfn, *info & PGT_type_mask);
}

s64 new_baseptr(struct vcpu_area *v, u64 mfn) {
  if (v->cr3 >> 12 != mfn) {
    s64 error = get_table(v, mfn, PGT_l4_page_table);
    if (error) return error;
    put_table(v, v->cr3 >> 12, PGT_l4_page_table);
    v->cr3 = mfn << 12;
  }
  flush_tlb(v);
  return 0;
}

static s64 new_user_baseptr(struct vcpu_area *v, u64 mfn) {
  u64 old = v->user_cr3 >> 12;
  if (mfn == old) return 0;
  if (mfn) {
    s64 error = get_table(v, mfn, PGT_l4_page_table);
    if (error) return error;
  }
  if (old) put_table(v, old, PGT_l4_page_table);
  v->user_cr3 = mfn << 12;
  return 0;
}

/* A page that nothing but writable mappings refers to: what MMUEXT_CLEAR_PAGE and _COPY_PAGE may write. */
static int can_write_page(u64 mfn) {
  if (mfn >= DOMAIN->nr_pages) return 0;
  u64 info = *info_of(mfn);
  return !count_of(info) || (info & PGT_type_mask) == PGT_writable_page;
}

static s64 clear_page(u64 mfn) {
  if (!can_write_page(mfn)) return -XEN_EINVAL;
  u64 *page = direct(mfn << 12);
  for (int i = 0; i < NR_ENTRIES; i++)
    page[i] = 0;
  return 0;
}

static s64 copy_page(u64 to, u64 from) {
  if (from >= DOMAIN->nr_pages || !can_write_page(to)) return -XEN_EINVAL;
  u64 *target = direct(to << 12), *source = direct(from << 12);
  for (int i = 0; i < NR_ENTRIES; i++)
    target[i] = source[i];
  return 0;
}

static s64 mmuext(struct vcpu_area *v, u64 cmd, u64 arg1, u64 arg2) {
  switch (cmd) {
  case MMUEXT_PIN_L1_TABLE:
  case MMUEXT_PIN_L2_TABLE:
  case MMUEXT_PIN_L3_TABLE:
  case MMUEXT_PIN_L4_TABLE:
    return pin_table(v, arg1, PGT_l1_page_table + cmd - MMUEXT_PIN_L1_TABLE);
  case MMUEXT_UNPIN_TABLE:
    return unpin_table(v, arg1);
  case MMUEXT_NEW_BASEPTR:
    return new_baseptr(v, arg1);
  case MMUEXT_NEW_USER_BASEPTR:
    return new_user_baseptr(v, arg1);
  case MMUEXT_TLB_FLUSH_LOCAL:
  case MMUEXT_TLB_FLUSH_ALL:
    flush_tlb(v);
    return 0;
  case MMUEXT_INVLPG_LOCAL:
  case MMUEXT_INVLPG_ALL:
    if (guest_range_ok(arg1, 1)) invlpg(arg1);
    return 0;
  case MMUEXT_CLEAR_PAGE:
    return clear_page(arg1);
  case MMUEXT_COPY_PAGE:
    return copy_page(arg1, arg2);
  default:
    return LEAVE_TO_HYPERVISOR;
  }
}

s64 fast_mmuext_op(struct vcpu_area *v, const u64 *args) {
  u64 ops = args[0], count = (u32)args[1];
  s64 error = 0;
  u64 i;
  if ((count & (1ul << 31)) || !is_self(args[3])) return LEAVE_TO_HYPERVISOR;
  if (!guest_range_ok(ops, count * sizeof(struct mmuext_op))) return -XEN_EFAULT;
  for (i = 0; i < count; i++, ops += sizeof(struct mmuext_op)) {
    u64 cmd, arg1, arg2;
    get_guest(cmd, ops, fault);
    get_guest(arg1, ops + 8, fault);
    get_guest(arg2, ops + 16, fault);
    error = mmuext(v, (u32)cmd, arg1, arg2);
    if (error == LEAVE_TO_HYPERVISOR) {
      u64 single[6] = {ops, 1, 0, args[3], 0, 0};
      error = leave_to_hypervisor(v, __HYPERVISOR_mmuext_op, single);
    }
    if (unlikely(error)) break;
  }
  report_done(args[2], i);
  return error;
fault:
  report_done(args[2], i);
  return -XEN_EFAULT;
}
