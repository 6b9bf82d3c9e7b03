/* Reading the guest's instruction where a fault's meaning depends on it. */
#include "insn.h"

#define DESCRIPTOR_LONG (1ul << 53)
#define DESCRIPTOR_32BIT (1ul << 54)

u64 *gpr(struct regs *r, unsigned number) {
  u64 *const map[16] = {&r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp, &r->rsi, &r->rdi,
                        &r->r8,  &r->r9,  &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};
  return map[number & 15];
}

u8 next(struct insn *i) {
  return i->position < i->length ? i->bytes[i->position++] : (i->position++, 0);
}

u64 immediate32(struct insn *i) {
  u32 value = next(i);
  for (int shift = 8; shift < 32; shift += 8)
    value |= (u32)next(i) << shift;
  return (u64)(s64)(int)value;
}

u64 descriptor(struct vcpu_area *v, u64 selector) {
  u64 table = selector & 4 ? LDT_VA : GDT_VA, value;
  get_guest(value, table + v->id * BLOCK_SIZE + (selector & 0xfff8), fault);
  return value;
fault:
  return 0;
}

static int is_prefix(u8 byte) {
  switch (byte) {
  case 0x26: /* segments */
  case 0x2e:
  case 0x36:
  case 0x3e:
  case 0x64:
  case 0x65:
  case 0x66: /* operand and address size */
  case 0x67:
  case 0xf0: /* lock, repeat */
  case 0xf2:
  case 0xf3:
    return 1;
  }
  return 0;
}

/* What can be read of it. */
static unsigned read_code(u8 *bytes, u64 address) {
  unsigned length = 0;
  if ((address & 0xfff) <= 0x1000 - CODE_BYTES && !copy_from_guest(bytes, address, CODE_BYTES))
    return MAX_INSN;
  while (length < MAX_INSN && !copy_from_guest(bytes + length, address + length, 1))
    length++;
  return length;
}

void decode(struct insn *i, struct vcpu_area *v, const struct regs *r) {
  u64 code = descriptor(v, r->cs), address = r->rip;
  int is_long = (code & DESCRIPTOR_LONG) != 0;
  *i = (struct insn){0};
  if (!is_long) address = (u32)(r->rip + (code >> 16 & 0xffffff) + (code >> 56 << 24));
  i->length = read_code(i->bytes, address);
  int default16 = !is_long && !(code & DESCRIPTOR_32BIT);
  i->operand16 = default16;
  for (i->opcode = next(i); is_prefix(i->opcode); i->opcode = next(i))
    if (i->opcode == 0x66) i->operand16 = !default16;
  if (is_long && (i->opcode & 0xf0) == 0x40) {
    i->rex = i->opcode;
    i->opcode = next(i);
  }
  if (i->opcode != 0x0f) return;
  i->two_byte = 1;
  i->opcode = next(i);
}
