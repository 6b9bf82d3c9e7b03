/* Values of the kinds that hypercalls take. */
#include "fuzz.h"

extern char _start[];

ulong small(void) {
  return below(one_in(4) ? 100 : 12);
}

/* As an address of the kernel's, as a frame, as an entry, as either half of a structure's fields. */
static bool is_dangerous(ulong v) {
  if (v >= VIRT_BASE && is_critical((v - VIRT_BASE) >> PAGE_SHIFT)) return true;
  return is_critical(v) || is_critical((v & PTE_FRAME) >> PAGE_SHIFT) || is_critical((uint32_t)v) ||
         is_critical(v >> 32);
}

ulong safe(ulong v) {
  return wild || !is_dangerous(v) ? v : v ^ (1ul << 45 | 1ul << 31);
}

/* Addresses that nothing of the kernel's depends on. */
static ulong distant_address(void) {
  static const ulong interesting[] = {
      0,
      8,
      0x00007ffffffffff8,
      0x0000800000000000,
      0x7fffffffffffffff,
      0xffff7ffffffffff8,
      0xffff800000000000,
      0xffff800000000010,
      0xffff800040000000,
      0xffff800080000000,
      0xffff80008000e000,
      0xffff810000000000,
      0xffff87fffffffff8,
      0xffff880000000000,
      0xfffffffffffffff8,
      0xffffffffffffffff,
      VIRT_BASE - 8,
      VIRT_BASE + (1ul << 30),
  };
  ulong address = PICK(interesting);
  return one_in(4) ? address + below(PAGE_SIZE) - PAGE_SIZE / 2 : address;
}

ulong window(void) {
  switch (below(8)) {
  case 0:
  case 1:
    return (ulong)arena[below(NR_ARENA)];
  case 2:
    return distant_address();
  case 3: /* below the slots of the L4 that entry_address() names */
    return below(256) << 39 | below(3) << 30 | below(4) << 21 | below(4) << 12;
  default:
    return USER_SCRATCH + below(512) * PAGE_SIZE + (one_in(8) ? below(PAGE_SIZE) : 0);
  }
}

ulong pointer(void) {
  ulong offset = one_in(8) ? below(PAGE_SIZE) : below(PAGE_SIZE / 8) * 8;
  switch (below(12)) {
  case 0:
    return distant_address();
  case 1:
    return (ulong)arena[below(NR_ARENA)] + offset;
  case 2: /* page tables, which are read-only */
    return start_info->pt_base + below(start_info->nr_pt_frames) * PAGE_SIZE + offset;
  case 3:
    return (ulong)start_info + offset;
  case 4:
    if (steady) return answer_room() + offset;
    return (ulong)shared_info + (wild ? offset : 2048 + offset % 1024);
  case 5:
    return (ulong)_start + offset;
  case 6:
    return (ulong)m2p + below(1 << 20);
  case 7:
    return answer_room_end() - below(80);
  case 8:
    return window();
  case 9:
    return wild ? (ulong)__builtin_frame_address(0) - 256 + below(512)
                : answer_room() + below(4) * PAGE_SIZE + offset;
  default:
    return answer_room() + below(4) * PAGE_SIZE + offset;
  }
}

ulong list_pointer(void) {
  if (wild) return pointer();
  return one_in(2) ? distant_address() : answer_room_end() - below(80);
}

static ulong any_kind_of_frame(void) {
  switch (below(16)) {
  case 0:
    return below(256); /* before the kernel: mapped and of no use */
  case 1:
    return start_info->nr_pages + below(600); /* Xen's */
  case 2:
    return start_info->shared_info >> PAGE_SHIFT;
  case 3:
    return (draw() >> (24 + below(40))) | 1ul << 39; /* beyond all */
  case 4:
    return wild ? below(start_info->nr_pages) : start_info->nr_pages - 1 - below(64);
  default:
    return mfn_of(arena[below(NR_ARENA)]);
  }
}

/* shared_info's holds times, and its contents may be copied. */
ulong frame(void) {
  ulong mfn = any_kind_of_frame();
  return steady && mfn == start_info->shared_info >> PAGE_SHIFT ? 0 : mfn;
}

ulong any_frame(void) {
  switch (below(6)) {
  case 0:
    return mfn_of((void *)(start_info->pt_base + below(start_info->nr_pt_frames) * PAGE_SIZE));
  case 1:
    return mfn_of(_start);
  default:
    return frame();
  }
}

/* Entries of tables in use are marked as accessed when time passes. */
ulong source_frame(void) {
  return steady ? frame() : any_frame();
}

ulong domid(void) {
  static const domid_t others[] = {0, DOMID_IO, DOMID_XEN, DOMID_COW, DOMID_INVALID, DOMID_IDLE, 99};
  if (one_in(8)) return one_in(2) ? draw() : PICK(others);
  return one_in(2) ? own_domid : DOMID_SELF;
}

ulong value(void) {
  switch (below(10)) {
  case 0:
    return safe((1ul << below(64)) - below(3) + 1);
  case 1:
    return safe(draw());
  case 2:
    return window();
  case 3:
    return frame();
  case 4:
    return frame() << PAGE_SHIFT | below(PAGE_SIZE);
  case 5:
    return -small();
  case 6:
    return safe((uint32_t)draw());
  case 7:
    return domid();
  default:
    return small();
  }
}

static uint64_t random_flags(void) {
  static const uint64_t flags[] = {PTE_PWT, PTE_PCD, PTE_PSE,   PTE_G,    PTE_NX,
                                   PTE_A,   PTE_D,   1ul << 52, 1ul << 62};
  return one_in(4) ? PICK(flags) : 0;
}

uint64_t l1_value(void) {
  if (one_in(8)) return one_in(2) ? 0 : value();
  uint64_t mfn = one_in(4) ? any_frame() : frame();
  uint64_t entry = (mfn << PAGE_SHIFT & PTE_FRAME) | PTE_P | PTE_A | PTE_D | random_flags();
  if (one_in(2) && (wild || !is_critical(mfn))) entry |= PTE_RW;
  if (one_in(2)) entry |= PTE_US;
  return entry;
}

uint64_t table_value(void) {
  if (one_in(8)) return one_in(2) ? 0 : value();
  uint64_t entry = (frame() << PAGE_SHIFT & PTE_FRAME) | PTE_P | PTE_A | random_flags();
  return entry | (one_in(4) ? 0 : PTE_RW) | (one_in(2) ? PTE_US : 0);
}

ulong entry_address(void) {
  ulong at;
  switch (below(8)) {
  case 0: /* slots that the kernel does not use, and the hole */
    at = machine_of(&kernel_l4()[1 + below(300)]);
    break;
  case 1:
    at = value();
    break;
  case 2:
  case 3:
    at = machine_of(&scratch_entries()[below(512)]);
    break;
  default:
    at = frame() << PAGE_SHIFT | below(512) * 8;
  }
  if (wild && one_in(8)) at = (any_frame() << PAGE_SHIFT) + below(512) * 8;
  /* The command stands in the low bits. */
  return (at & ~7ul) | (one_in(2) ? 0 : one_in(8) ? below(8) : below(3));
}
