/*
 * ptwr: a kernel's write to an entry of an L1 table that it has mapped read-only. Xen emulates the
 * instruction (xen/arch/x86/pv/ro-page-fault.c); here the guest executes it itself, for that one step with
 * tables of its vCPU's own, in which the mapping is writable and which no other vCPU uses, and the entry is
 * checked after. Only MOV and XCHG of whole entries, which are what a kernel takes most, are done at once.
 */
#include "insn.h"
#include "mm.h"
#include "smp.h"

#define DR6_BREAKPOINTS 0xful
#define DR6_SINGLE_STEP 0x4000ul
#define DR7_ENABLED 0xfful
#define ENTRY_SIZE 8
#define PAGE_SIZE 4096

/* Bytes that the instruction writes, 0 for one that does not write to memory or is none of those listed. */
static unsigned write_size(const struct insn *i) {
  unsigned full = i->rex & REX_W ? 8 : i->operand16 ? 2 : 4;
  unsigned by_low_bit = i->opcode & 1 ? full : 1;
  if (i->two_byte) {
    switch (i->opcode) {
    case 0x90 ... 0x9f: /* setcc */
      return 1;
    case 0xb0 ... 0xb1: /* cmpxchg, xadd */
    case 0xc0 ... 0xc1:
      return by_low_bit;
    case 0xa4 ... 0xa5: /* shld, bts, shrd, btr, the group of bt, btc, movnti */
    case 0xab ... 0xad:
    case 0xb3:
    case 0xba ... 0xbb:
    case 0xc3:
      return full;
    case 0xc7: /* cmpxchg8b */
      return i->rex & REX_W ? 0 : 8;
    }
    return 0;
  }
  switch (i->opcode) {
  case 0x00 ... 0x37: /* add or adc sbb and sub xor to memory */
    return (i->opcode & 7) < 2 ? by_low_bit : 0;
  case 0x80 ... 0x81: /* the same of immediates, xchg, mov */
  case 0x83:
  case 0x86 ... 0x89:
  case 0xa2 ... 0xa5: /* mov, movs, stos */
  case 0xaa ... 0xab:
  case 0xc0 ... 0xc1: /* shifts, mov of immediates */
  case 0xc6 ... 0xc7:
  case 0xd0 ... 0xd3:
  case 0xf6 ... 0xf7: /* not, neg, inc, dec */
  case 0xfe ... 0xff:
    return by_low_bit;
  case 0x8f: /* pop */
    return i->operand16 ? 2 : 8;
  }
  return 0;
}

static s64 commit(struct vcpu_area *v, u64 gpa, u64 old, u64 value) {
  if (DOMAIN->flags & DOMAIN_FAST_PATHS) {
    lock(v);
    s64 error = l1_entry_written(v, old, value);
    unlock(v);
    return error;
  }
  v->hypercall[0] = gpa;
  v->hypercall[1] = old;
  v->hypercall[2] = value;
  exit_to_hypervisor(v, MONITOR_EXIT_PTWR);
  return v->hypercall_result;
}

/* The rest of a ModRM operand in memory: SIB and displacement. */
static void skip_operand(struct insn *i, u8 modrm) {
  unsigned mod = modrm >> 6, base = modrm & 7;
  if (base == 4) base = next(i) & 7;
  i->position += mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0;
}

/* Does the instruction, if it is one of those and nothing watches it: 1. */
static int write_at_once(struct vcpu_area *v, struct regs *r, struct insn *i, u64 address, u64 gpa) {
  if (i->two_byte || !(i->rex & REX_W) || (r->rflags & X86_EFLAGS_TF) ||
      ((v->dr[7] | v->debug_dr[4]) & DR7_ENABLED))
    return 0;
  u8 modrm = next(i);
  unsigned number = (modrm >> 3 & 7) | (i->rex & REX_R ? 8 : 0);
  u64 *operand = gpr(r, number), value = *operand;
  skip_operand(i, modrm);
  switch (i->opcode) {
  case 0x87: /* xchg */
  case 0x89: /* mov */
    break;
  case 0xc7: /* mov of an immediate */
    if (number & 7) return 0;
    value = immediate32(i);
    break;
  default:
    return 0;
  }
  if (i->position > i->length) return 0;
  u64 *entry = direct(gpa), old = __atomic_exchange_n(entry, value, __ATOMIC_SEQ_CST);
  if (value != old && commit(v, gpa, old, value)) {
    *entry = old;
    inject_page_fault(v, r, address, PF_PROTECTED_WRITE);
    return 1;
  }
  if (i->opcode == 0x87) *operand = old;
  r->rip += i->position;
  r->rflags &= ~X86_EFLAGS_RF;
  return 1;
}

/* Loads copies of the four tables that map the address, with the last entry writable. 0: it is mapped no
 * more. */
static int load_own_tables(struct vcpu_area *v, u64 address) {
  u64 offset = BLOCK_OFFSET(v->id) + BLOCK_PTWR_TABLES, gpa = DOMAIN->monitor + offset;
  u64 *copy = (u64 *)(MONITOR_VA + offset), table = v->cr3 & PTE_ADDRESS;
  for (int shift = 39;; shift -= 9, copy += NR_ENTRIES) {
    if (table >> 12 >= DOMAIN->total_pages) return 0;
    const u64 *from = direct(table);
    for (int i = 0; i < NR_ENTRIES; i++)
      copy[i] = from[i];
    u64 *entry = copy + (address >> shift & (NR_ENTRIES - 1));
    table = *entry & PTE_ADDRESS;
    *entry |= PAGE_RW;
    if (shift == 12) break;
    gpa += PAGE_SIZE;
    *entry = (*entry & ~PTE_ADDRESS) | gpa;
  }
  load_cr3(DOMAIN->monitor + offset);
  return 1;
}

int ptwr_begin(struct vcpu_area *v, struct regs *r) {
  u64 address = v->cr2;
  struct insn i;
  if (!guest_range_ok(address, ENTRY_SIZE)) return 0;
  u64 *mapping = walk_to_l1(v, address);
  if (!mapping || (*mapping & PF_PROTECTED_WRITE) != 1 || !is_l1_table((*mapping & PTE_ADDRESS) >> 12))
    return 0;
  decode(&i, v, r);
  unsigned size = write_size(&i);
  /* ptwr_emulated_update: naturally aligned, so that one entry is all that it can touch. */
  if (!size || (address & (size - 1))) return 0;
  struct ptwr *p = &v->ptwr;
  p->address = address;
  p->entry_gpa = (*mapping & PTE_ADDRESS) | (address & 0xff8);
  if (size == ENTRY_SIZE && write_at_once(v, r, &i, address, p->entry_gpa)) return 1;
  p->rflags = r->rflags & (X86_EFLAGS_TF | X86_EFLAGS_IF);
  p->old = *(volatile u64 *)direct(p->entry_gpa);
  v->fault_registers = *r;
  if (!load_own_tables(v, address)) return 0;
  r->rflags = (r->rflags & ~X86_EFLAGS_IF) | X86_EFLAGS_TF;
  p->active = 1;
  return 1;
}

/* Whether the #DB was the step's alone; if not, DR6 tells the guest of its own reasons only. */
static int only_step(struct vcpu_area *v) {
  u64 dr6;
  if (v->ptwr.rflags & X86_EFLAGS_TF) return 0;
  __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
  __asm__ volatile("mov %0, %%dr6" ::"r"(dr6 & ~DR6_SINGLE_STEP));
  return !(dr6 & DR6_BREAKPOINTS);
}

/* Returns 1 when nothing is left of the trap. */
int ptwr_finish(struct vcpu_area *v, struct regs *r) {
  struct ptwr *p = &v->ptwr;
  u64 *entry = direct(p->entry_gpa);
  p->active = 0;
  load_cr3(v->cr3);
  r->rflags = (r->rflags & ~(X86_EFLAGS_TF | X86_EFLAGS_IF)) | p->rflags;
  int over = r->vector == TRAP_debug && only_step(v);
  u64 value = *(volatile u64 *)entry;
  if (value == p->old || !commit(v, p->entry_gpa, p->old, value)) return over;
  /* Xen refuses to emulate it: the guest sees the fault of its write, with nothing done. */
  *entry = p->old;
  *r = v->fault_registers;
  inject_page_fault(v, r, p->address, PF_PROTECTED_WRITE);
  return 1;
}
