#ifndef XENNER_MONITOR_INSN_H
#define XENNER_MONITOR_INSN_H

#include "monitor.h"

#define MAX_INSN 15
#define CODE_BYTES 16
#define REX_W 8
#define REX_R 4
#define REX_B 1

struct insn {
  u8 bytes[CODE_BYTES];
  unsigned length;   /* bytes that could be read */
  unsigned position; /* decoded so far; past the length: it could not be */
  u8 rex;
  u8 opcode; /* behind the prefixes, and behind 0f if two_byte */
  int two_byte;
  int operand16;
};

/* The guest's instruction at rip, up to its opcode. */
void decode(struct insn *i, struct vcpu_area *v, const struct regs *r);
u8 next(struct insn *i);
u64 immediate32(struct insn *i); /* extended to 64 bits */
/* What a selector stands for; 0 where that cannot be read. */
u64 descriptor(struct vcpu_area *v, u64 selector);
u64 *gpr(struct regs *r, unsigned number);

#endif
