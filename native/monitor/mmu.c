/*
 * mmu_update, update_va_mapping and mmuext_op (xen/arch/x86/mm.c) for the guest's own frames, flushes on this
 * vCPU, and lists of a sane length; the rest is left to src/xenner/hypercall, which answers all of it.
 */
#include "mm.h"
#include "smp.h"

/* MAX_MMU_REQUESTS of src/base/limits.ts: larger lists are the hypervisor's to refuse. */
#define MAX_REQUESTS 65536

/* MMU_NORMAL_PT_UPDATE and MMU_PT_UPDATE_PRESERVE_AD; on a page of no table type it is a plain write. */
static s64 update_entry(struct vcpu_area *v, u64 gpa, u64 value, int preserve_ad) {
  u64 mfn = gpa >> 12;
  if (!is_owned(mfn)) return -XEN_EINVAL;
  u64 level = type_of(mfn), *entry = direct(gpa & ~7ul);
  if (level == PGT_l1_page_table) return mod_l1_entry(entry, value, preserve_ad);
  if (level == PGT_none || level == PGT_writable_page) {
    *(volatile u64 *)entry = value;
    return 0;
  }
  if (level > PGT_l4_page_table || is_hole_slot(level, (gpa >> 3) & (NR_ENTRIES - 1))) return -XEN_EINVAL;
  u64 old = *entry;
  s64 error = mod_table_entry(v, entry, value, level, preserve_ad);
  /* What linear page tables show must not be stale (flush_linear_pt); nobody sees one that is only pinned. */
  u64 info = *info_of(mfn), own = info & PGT_pinned ? PGT_count_one : 0;
  if (!error && (old & PAGE_PRESENT) && count_of(info) > own) v->pending |= PENDING_CR3;
  return error;
}

static s64 update_machphys(u64 gpa, u64 value) {
  u64 mfn = gpa >> 12;
  if (mfn >= DOMAIN->nr_pages || !is_owned(mfn)) return -XEN_EINVAL;
  ((u64 *)DOMAIN->m2p)[mfn] = value;
  return 0;
}

static void report_done(u64 pointer, u32 done) {
  if (!pointer || !address_ok(pointer)) return;
  put_guest(done, pointer, fault);
fault:
  return;
}

/* Foreign domains, continued calls and long lists are the hypervisor's. */
static inline int is_simple(const u64 *args) {
  return (u32)args[3] == DOMID_SELF && (u32)args[1] <= MAX_REQUESTS;
}

s64 fast_mmu_update(struct vcpu_area *v, const u64 *args) {
  u64 requests = args[0], count = (u32)args[1];
  s64 error = 0;
  u64 i;
  if (!is_simple(args)) return LEAVE_TO_HYPERVISOR;
  if (!address_ok(requests)) return -XEN_EFAULT;
  for (i = 0; i < count; i++, requests += 16) {
    u64 pointer, value;
    get_guest(pointer, requests, fault);
    get_guest(value, requests + 8, fault);
    switch (pointer & 7) {
    case MMU_NORMAL_PT_UPDATE:
    case MMU_PT_UPDATE_NO_TRANSLATE:
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

s64 fast_update_va_mapping(struct vcpu_area *v, const u64 *args) {
  u64 address = args[0], flags = args[2], whom = flags & ~(u64)UVMF_FLUSHTYPE_MASK;
  if (whom != UVMF_LOCAL && (whom != UVMF_ALL || DOMAIN->nr_vcpus > 1)) return LEAVE_TO_HYPERVISOR;
  if (!address_ok(address)) return -XEN_EINVAL;
  u64 *entry = walk_to_l1(v, address);
  if (!entry || !is_l1_table(((u64)entry - DIRECT_VA) >> 12)) return -XEN_EINVAL;
  s64 error = mod_l1_entry(entry, args[1], 0);
  if (error) return error;
  switch (flags & UVMF_FLUSHTYPE_MASK) {
  case UVMF_TLB_FLUSH:
    v->pending |= PENDING_CR3; /* one flush for all calls of a multicall */
    break;
  case UVMF_INVLPG:
    invlpg(address);
    break;
  }
  return 0;
}

/* A page that nothing but writable mappings refers to: what MMUEXT_CLEAR_PAGE and _COPY_PAGE may write. */
static int can_write_page(u64 mfn) {
  return is_owned(mfn) && (type_of(mfn) == PGT_none || type_of(mfn) == PGT_writable_page);
}

static s64 clear_page(u64 mfn) {
  if (!can_write_page(mfn)) return -XEN_EINVAL;
  u64 *page = direct(mfn << 12);
  for (int i = 0; i < NR_ENTRIES; i++)
    page[i] = 0;
  return 0;
}

static s64 copy_page(u64 to, u64 from) {
  if (!is_owned(from) || !can_write_page(to)) return -XEN_EINVAL;
  u64 *target = direct(to << 12), *source = direct(from << 12);
  for (int i = 0; i < NR_ENTRIES; i++)
    target[i] = source[i];
  return 0;
}

/* MMUEXT_TLB_FLUSH_MULTI and _INVLPG_MULTI: other vCPUs flush once for all calls of a multicall. */
static s64 flush_many(struct vcpu_area *v, u64 mask, int all, u64 address) {
  u64 self = 1ul << v->id;
  if (!(DOMAIN->flags & DOMAIN_LAPIC)) return LEAVE_TO_HYPERVISOR;
  if (!all && !address_ok(address)) return 0;
  if (mask & ~self) {
    v->flush_mask |= mask & ~self;
    v->flush_what = both_flushes(v->flush_what, all ? FLUSH_EVERYTHING : (address & ~0xffful) | FLUSH_PAGE);
    v->pending |= PENDING_FLUSH_OTHERS;
  }
  if (!(mask & self)) return 0;
  if (all)
    v->pending |= PENDING_CR3;
  else
    invlpg(address);
  return 0;
}

static s64 flush_of_list(struct vcpu_area *v, u64 list, int all, u64 address) {
  u64 mask;
  if (DOMAIN->nr_vcpus == 1 || !guest_range_ok(list, 8)) return LEAVE_TO_HYPERVISOR;
  get_guest(mask, list, fault);
  return flush_many(v, mask, all, address);
fault:
  return LEAVE_TO_HYPERVISOR;
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
  case MMUEXT_TLB_FLUSH_MULTI:
    return flush_of_list(v, arg2, 1, 0);
  case MMUEXT_INVLPG_MULTI:
    return flush_of_list(v, arg2, 0, arg1);
  case MMUEXT_TLB_FLUSH_ALL:
    if (DOMAIN->nr_vcpus > 1) return flush_many(v, ~0ul, 1, 0);
    /* fall through */
  case MMUEXT_TLB_FLUSH_LOCAL:
    v->pending |= PENDING_CR3;
    return 0;
  case MMUEXT_INVLPG_ALL:
    if (DOMAIN->nr_vcpus > 1) return flush_many(v, ~0ul, 0, arg1);
    /* fall through */
  case MMUEXT_INVLPG_LOCAL:
    if (address_ok(arg1)) invlpg(arg1);
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
  if (!is_simple(args)) return LEAVE_TO_HYPERVISOR;
  if (!address_ok(ops)) return -XEN_EFAULT;
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
