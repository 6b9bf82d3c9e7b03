/*
 * native/monitor/mm.c and mmu.c as a program of the host, on guest memory from a file: carries out a row of
 * operations and answers each with its result and a digest of the state after it. mm-twin.test.ts does the
 * same in TypeScript.
 */
#include "vcpu_area.h"

static unsigned char *memory;
static u64 domain_gpa;

#undef DIRECT_VA
#undef MONITOR_VA
#define DIRECT_VA ((u64)memory)
#define MONITOR_VA (DIRECT_VA + domain_gpa - DOMAIN_AREA)
#include "monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct vcpu_area *vcpu;
static u64 flushed, invalidated;

static void host_load_cr3(u64 cr3) {
  flushed = 1;
}
static void host_invlpg(u64 address) {
  invalidated = address;
}

/* What the CPU's own walk allows, as src/xenner/mm/guest-access.ts has it. */
static unsigned char *reach(u64 va, int write) {
  u64 table = vcpu->cr3 & PTE_ADDRESS, needed = write ? 3 : 1;
  if (va >= HOLE_START && va < HOLE_END) return 0;
  if (va >> 47 != 0 && va >> 47 != 0x1ffff) return 0;
  for (int shift = 39; shift >= 12; shift -= 9) {
    if (table >> 12 >= DOMAIN->total_pages) return 0;
    u64 entry = ((u64 *)direct(table))[(va >> shift) & 511];
    if ((entry & needed) != needed || (shift > 12 && (entry & 0x80))) return 0;
    table = entry & PTE_ADDRESS;
  }
  return table >> 12 < DOMAIN->total_pages ? (unsigned char *)direct(table) + (va & 0xfff) : 0;
}

static int transfer(u64 va, void *value, u64 size, int write) {
  unsigned char *bytes = value;
  for (u64 i = 0; i < size; i++) {
    unsigned char *at = reach(va + i, write);
    if (!at) return 0;
    if (write)
      *at = bytes[i];
    else
      bytes[i] = *at;
  }
  return 1;
}

#undef get_guest
#undef put_guest
#define get_guest(value, address, fault)                                                                     \
  do {                                                                                                       \
    if (!transfer(address, &(value), sizeof(value), 0)) goto fault;                                          \
  } while (0)
#define put_guest(value, address, fault)                                                                     \
  do {                                                                                                       \
    if (!transfer(address, &(value), sizeof(value), 1)) goto fault;                                          \
  } while (0)
#define load_cr3 host_load_cr3
#define invlpg host_invlpg
#include "mm.c"
#include "mmu.c"

/* No operation here maps a page of an LDT. */
void unmap_ldt(struct vcpu_area *v) {
  abort();
}

/* One operation of a list that mmu.c does not know. The generator uses few of them. */
s64 leave_to_hypervisor(struct vcpu_area *v, u64 nr, const u64 *args) {
  u32 cmd;
  if (!transfer(args[0], &cmd, sizeof cmd, 0)) abort();
  if (cmd == MMUEXT_FLUSH_CACHE) return -XEN_EACCES;
  if (cmd == MMUEXT_MARK_SUPER || cmd == MMUEXT_UNMARK_SUPER) return -XEN_EOPNOTSUPP;
  return -XEN_ENOSYS;
}

enum kind { POKE, PIN_INITIAL, MMU_UPDATE, VA_MAPPING, MMUEXT, PTWR, BASEPTR };

struct record {
  u64 kind, args[6], unused;
};

struct header {
  u64 nr_pages, total_pages, domain, vcpu, page_info, m2p, xen_l4_entry, direct_l4_entry, cr3;
};

static s64 perform(const struct record *op) {
  const u64 *args = op->args;
  s64 error;
  switch (op->kind) {
  case POKE:
    *(u64 *)direct(args[0]) = args[1];
    return 0;
  case PIN_INITIAL:
    error = pin_table(vcpu, args[0], PGT_l4_page_table);
    return error ? error : get_table(vcpu, args[0], PGT_l4_page_table);
  case MMU_UPDATE:
    return fast_mmu_update(vcpu, args);
  case VA_MAPPING:
    return fast_update_va_mapping(vcpu, args);
  case MMUEXT:
    return fast_mmuext_op(vcpu, args);
  case PTWR:
    return is_l1_table(args[0] >> 12) ? l1_entry_written(vcpu, args[1], args[2]) : -XEN_EINVAL;
  case BASEPTR:
    return new_baseptr(vcpu, args[0]);
  default:
    abort();
  }
}

static u32 digest_words(u32 hash, const u32 *words, u64 count) {
  for (u64 i = 0; i < count; i++)
    hash = (hash ^ words[i]) * 0x01000193u;
  return hash;
}

static u32 digest(const struct header *h) {
  u32 hash = digest_words(0x811c9dc5u, (u32 *)memory, h->nr_pages * 1024);
  hash = digest_words(hash, (u32 *)(memory + h->m2p), h->total_pages * 2);
  for (u64 mfn = 0; mfn < h->total_pages; mfn++) {
    u64 info = *info_of(mfn);
    /* A stamp says only whether there was a flush since, and nothing while the frame is writable. */
    u64 upper = info >> 32;
    if (!count_of(info))
      upper = upper == (u32)DOMAIN->flush_clock;
    else if ((info & PGT_type_mask) == PGT_writable_page)
      upper = 0;
    u32 words[2] = {info, upper};
    hash = digest_words(hash, words, 2);
  }
  u64 state[4] = {vcpu->cr3, vcpu->user_cr3, flushed, invalidated};
  return digest_words(hash, (u32 *)state, 8);
}

int main(int argc, char **argv) {
  struct header h;
  struct record op;
  if (argc != 2) return 2;
  FILE *in = fopen(argv[1], "rb");
  if (!in || fread(&h, sizeof h, 1, in) != 1) return 2;
  memory = aligned_alloc(4096, h.total_pages * 4096);
  if (!memory || fread(memory, 4096, h.total_pages, in) != h.total_pages) return 2;
  domain_gpa = h.domain;
  vcpu = (struct vcpu_area *)(memory + h.vcpu);
  memset(DOMAIN, 0, sizeof *DOMAIN);
  memset(vcpu, 0, sizeof *vcpu);
  DOMAIN->nr_pages = h.nr_pages;
  DOMAIN->total_pages = h.total_pages;
  DOMAIN->page_info = (u64)memory + h.page_info;
  DOMAIN->m2p = (u64)memory + h.m2p;
  DOMAIN->xen_l4_entry = h.xen_l4_entry;
  DOMAIN->direct_l4_entry = h.direct_l4_entry;
  DOMAIN->nr_vcpus = 1;
  DOMAIN->flush_clock = 1;
  vcpu->cr3 = h.cr3;
  while (fread(&op, sizeof op, 1, in) == 1) {
    flushed = invalidated = 0;
    s64 answer[2] = {perform(&op)};
    /* apply_pending */
    if (vcpu->pending & PENDING_CR3) flush_tlb(vcpu);
    vcpu->pending = 0;
    answer[1] = digest(&h);
    fwrite(answer, sizeof answer, 1, stdout);
  }
  return fflush(stdout) == 0 ? 0 : 2;
}
