/*
 * A 64-bit guest kernel runs in ring 3 on Xen and may load selectors of RPL 3. Here it is in ring 1, where
 * the CPU refuses such a stack segment and takes a far return with such a code segment for one to ring 3.
 */
#include "insn.h"

#define MOV_TO_SEGMENT 0x8e
#define FAR_RETURN 0xcb
#define MODRM_SS_REGISTER 0xd0 /* and the register's number */

static int is_ring3(u64 selector) {
  return (selector & 3) == 3;
}

static int is_stack(u64 descriptor) {
  return (descriptor >> 40 & 0xfa) == 0xf2; /* present, DPL 3, data, writable */
}

static int is_code64(u64 descriptor) {
  return (descriptor >> 40 & 0xf8) == 0xf8 && (descriptor >> 53 & 3) == 1;
}

static int load_ss(struct vcpu_area *v, struct regs *r, struct insn *i) {
  u8 modrm = next(i);
  if ((modrm & 0xf8) != MODRM_SS_REGISTER) return 0;
  u64 selector = *gpr(r, (modrm & 7) | (i->rex & REX_B ? 8 : 0)) & 0xffff;
  if (!is_ring3(selector) || !is_stack(descriptor(v, selector))) return 0;
  v->kernel_ss = selector;
  r->rip += i->position;
  return 1;
}

/* It has not gone to ring 3: what would be its stack segment there was none. */
static int far_return(struct vcpu_area *v, struct regs *r, struct insn *i) {
  u64 frame[2];
  if (!(i->rex & REX_W) || copy_from_guest(frame, r->rsp, sizeof frame)) return 0;
  u64 selector = frame[1] & 0xffff;
  if (!is_ring3(selector) || !is_code64(descriptor(v, selector))) return 0;
  r->rip = frame[0];
  r->rsp += sizeof frame;
  return 1;
}

int emulate_ring3(struct vcpu_area *v, struct regs *r) {
  struct insn i;
  decode(&i, v, r);
  if (i.two_byte) return 0;
  if (i.opcode == MOV_TO_SEGMENT) return load_ss(v, r, &i);
  return i.opcode == FAR_RETURN && far_return(v, r, &i);
}

/* Its own iretq took it to ring 3, where the first page of its own that is not for users brings it back. */
int leave_ring3(struct regs *r) {
  if (!is_ring3(r->cs)) return 0;
  r->cs = SEL_KERNEL_CS;
  r->ss = SEL_KERNEL_SS;
  return 1;
}
