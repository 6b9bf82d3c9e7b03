/*
 * Rule: a trap in a trap handler is a trap like any other: its frame goes below what the kernel's stack
 * holds, and each iret undoes one level. From ring 3 only the first goes to the stack of
 * HYPERVISOR_stack_switch.
 */
#include "test.h"

const char test_title[] = "Traps within traps";

static unsigned depth, deepest, order;
static uint16_t outer_cs[64];

/* #UD raises #BP raises a hypercall's upcall raises #PF raises #UD ... until it is deep enough. */
static bool nest(struct regs *regs) {
  if (depth < 64) outer_cs[depth] = regs->cs;
  depth++;
  if (depth > deepest) deepest = depth;
  bool handled = true;
  switch (regs->vec) {
  case UD:
    regs->rip += 2;
    break;
  case BP:
    break;
  case PF:
    regs->rip += 7;
    break; /* movl 0x10, %eax with an absolute address */
  default:
    handled = false;
    break;
  }
  if (depth < 12) {
    order = order * 3 + (unsigned)regs->vec;
    ulong rbx = 0xb0 + depth, check_rbx = rbx;
    if (regs->vec == UD)
      asm volatile("int3" : "+b"(rbx) : : "memory");
    else if (regs->vec == BP)
      asm volatile(".byte 0x8b, 0x04, 0x25, 0x10, 0, 0, 0" : "+b"(rbx) : : "rax", "memory");
    else
      asm volatile("ud2" : "+b"(rbx) : : "memory");
    check(rbx == check_rbx, "rbx at depth %u", depth);
  }
  depth--;
  return handled;
}

STUB(user_ud, "mov $0x77, %ebx; ud2; mov %ebx, %eax");

void test_main(void) {
  trap_hook = nest;
  asm volatile("ud2" : : : "memory");
  print("from kernel: deepest %u, now %u, order %u", deepest, depth, order);
  deepest = order = 0;
  struct regs r;
  catch_user_hooked(user_ud, 0, nest, &r);
  print("from user: %s rax %lx, deepest %u, now %u, order %u", trap_name(r.vec), r.rax, deepest, depth,
        order);
  expect_hex("cs of level 0", outer_cs[0], 0xe033);
  expect_hex("cs of level 1", outer_cs[1], 0xe030);
  expect_hex("cs of level 5", outer_cs[5], 0xe030);
}
