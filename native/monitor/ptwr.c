/*
 * ptwr: a kernel's write to an entry of an L1 table that it has mapped read-only. Xen emulates the
 * instruction (xen/arch/x86/pv/ro-page-fault.c); here the guest executes it itself, with the mapping made
 * writable for that one step, and the entry is checked after. Only MOV and XCHG of whole entries, which are
 * what a kernel takes most, are done at once.
 */
#include "insn.h"

#define DR6_BREAKPOINTS 0xful
#define DR6_SINGLE_STEP 0x4000ul
#define DR7_ENABLED 0xfful
#define ENTRY_SIZE 8

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
  if (DOMAIN->flags & DOMAIN_FAST_PATHS) return l1_entry_written(v, old, value);
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
  p->mapping_gpa = (u64)mapping - DIRECT_VA;
  p->entry_gpa = (*mapping & PTE_ADDRESS) | (address & 0xff8);
  /* The entry through which it is reached itself would show the change that is made for the step. */
  if (p->entry_gpa == p->mapping_gpa) return 0;
  if (size == ENTRY_SIZE && write_at_once(v, r, &i, address, p->entry_gpa)) return 1;
  p->rflags = r->rflags & (X86_EFLAGS_TF | X86_EFLAGS_IF);
  p->old = *(volatile u64 *)direct(p->entry_gpa);
  v->fault_registers = *r;
  *mapping |= 2;
  invlpg(address);
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
  u64 *entry = direct(p->entry_gpa), *mapping = direct(p->mapping_gpa);
  p->active = 0;
  *mapping &= ~2ul;
  invlpg(p->address);
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
