/*
 * Rule: a guest kernel's write to a present L1 table that it has mapped read-only is emulated as the
 * page-table update it is, whatever the instruction. A write to a higher table, or of an entry that
 * mmu_update would refuse, or by user mode, is not: the guest gets the page fault (xen/arch/x86/mm.c
 * pv_ro_page_fault, pv/ro-page-fault.c).
 */
#include "test.h"

const char test_title[] = "Direct writes to read-only page tables";

#define APIC_FRAME 0xfee00ul
#define NO_FRAME (PTE_FRAME >> PAGE_SHIFT)

static uint64_t entry(const void *page, uint64_t flags) {
  return ((uint64_t)mfn_of(page) << PAGE_SHIFT) | flags;
}

/* Each is one instruction on the entry at %rdi with the operand in the next word of `args`. */
struct args {
  uint64_t *pte;
  uint64_t value, old;
};
#define WRITE_STUB(name, code)                                                                               \
  STUB(name, "push %rbx; mov (%rdi), %rbx; mov 8(%rdi), %rcx; mov 16(%rdi), %rax;" code                      \
             "; mov %rax, 16(%rdi); pop %rbx")
WRITE_STUB(w_mov, "mov %rcx, (%rbx)");
WRITE_STUB(w_xchg, "mov %rcx, %rax; xchg %rax, (%rbx)");
WRITE_STUB(w_cmpxchg, "lock cmpxchg %rcx, (%rbx); sete %al; movzbl %al, %eax");
WRITE_STUB(w_cmpxchg_plain, "cmpxchg %rcx, (%rbx); sete %al; movzbl %al, %eax");
WRITE_STUB(w_or, "lock or %rcx, (%rbx)");
WRITE_STUB(w_and, "lock and %rcx, (%rbx)");
WRITE_STUB(w_xor, "xor %rcx, (%rbx)");
WRITE_STUB(w_bts, "lock bts %rcx, (%rbx); setc %al; movzbl %al, %eax");
WRITE_STUB(w_btr, "lock btr %rcx, (%rbx); setc %al; movzbl %al, %eax");
WRITE_STUB(w_xadd, "mov %rcx, %rax; lock xadd %rax, (%rbx)");
WRITE_STUB(w_inc, "incq (%rbx)");
WRITE_STUB(w_mov32, "mov %ecx, (%rbx)");
WRITE_STUB(w_mov32_high, "mov %ecx, 4(%rbx)");
WRITE_STUB(w_mov16, "movw %cx, (%rbx)");
WRITE_STUB(w_mov8, "movb %cl, (%rbx)");
WRITE_STUB(w_and8, "andb %cl, (%rbx)");
WRITE_STUB(w_imm, "movq $0, (%rbx)");
WRITE_STUB(w_disp8, "lea -0x18(%rbx), %rax; mov %rcx, 0x18(%rax)");
WRITE_STUB(w_disp32, "lea 0x1000(%rbx), %rax; mov %rcx, -0x1000(%rax)");
WRITE_STUB(w_index, "lea -0x1010(%rbx), %rax; mov $2, %edx; mov %rcx, 0x1000(%rax,%rdx,8)");
WRITE_STUB(w_base_r12, "push %r12; mov %rbx, %r12; mov %rcx, (%r12); pop %r12");
WRITE_STUB(w_base_r13, "push %r13; mov %rbx, %r13; mov %rcx, (%r13); pop %r13");
WRITE_STUB(w_from_r9, "mov %rcx, %r9; mov %r9, (%rbx)");
WRITE_STUB(w_xchg_r9, "mov %rcx, %r9; xchg %r9, 8(%rbx,%rax); mov %r9, %rax");
WRITE_STUB(w_imm_minus, "lea -0x20(%rbx), %rax; movq $-0x1000, 0x20(%rax)");
WRITE_STUB(w_imm_32, "movl $0, 4(%rbx)");
WRITE_STUB(w_stepped, "pushf; orq $0x100, (%rsp); popf; mov %rcx, (%rbx); nop");
WRITE_STUB(w_stos, "push %rdi; mov %rbx, %rdi; mov %rcx, %rax; stosq; pop %rdi");
WRITE_STUB(w_movs, "push %rdi; lea 8(%rdi), %rsi; mov %rbx, %rdi; movsq; pop %rdi");
WRITE_STUB(w_rep_stos, "push %rdi; mov %rbx, %rdi; xor %eax, %eax; mov $4, %ecx; rep stosq; pop %rdi");
WRITE_STUB(w_unaligned, "mov %rcx, 3(%rbx)");

/*
 * Prints what the instruction did to the entry, without the frame's number.
 * oracle: differs. Xen sets G on user pages for its own sake; G is not shown.
 */
static void show(const char *name, const struct args *args, const struct regs *regs, bool trapped) {
  uint64_t now = *args->pte;
  if (!trapped) {
    print("%s: entry flags %lx", name, now & ~(PTE_FRAME | PTE_G));
    return;
  }
  print("%s: %s[%lx], entry flags %lx, CR2 %s", name, trap_name(regs->vec), regs->err,
        now & ~(PTE_FRAME | PTE_G), trap_cr2 - (ulong)args->pte < 8 ? "in the entry" : "elsewhere");
}

static void one(const char *name, void (*fn)(ulong), uint64_t *pte, uint64_t before, uint64_t value,
                bool equal) {
  struct regs regs;
  must("entry before", set_pte(pte, before));
  struct args args = {pte, value, equal ? *pte : 0};
  bool trapped = catch_kernel(fn, (ulong)&args, &regs);
  show(name, &args, &regs, trapped);
}

static void instructions(uint64_t *pte, void *a, void *b) {
  uint64_t ua = entry(a, PTE_USER), ub = entry(b, PTE_USER & ~PTE_RW);
  struct args args;
  one("mov", w_mov, pte, 0, ub, false);
  expect_hex("frame", (*pte ^ ub) & PTE_FRAME, 0);
  one("mov, another frame", w_mov, pte, ua, ub, false);
  expect_hex("frame", (*pte ^ ub) & PTE_FRAME, 0);
  one("mov, not present", w_mov, pte, ua, 0, false);
  one("xchg", w_xchg, pte, ua, 0, false);
  args = (struct args){pte, 0, 0};
  must("entry", set_pte(pte, ua));
  w_xchg((ulong)&args);
  expect_hex("xchg gives the old entry", (args.old ^ ua) & ~PTE_G, 0);
  one("lock cmpxchg, equal", w_cmpxchg, pte, ua, ub, true);
  one("lock cmpxchg, not equal", w_cmpxchg, pte, ua, ub, false);
  one("cmpxchg, equal", w_cmpxchg_plain, pte, ua, ub, true);
  one("or, RW", w_or, pte, ub, PTE_RW, false);
  one("and, not RW", w_and, pte, ua, ~PTE_RW, false);
  one("xor, P", w_xor, pte, ua, PTE_P, false);
  one("bts, avail", w_bts, pte, ua, 9, false);
  one("btr, RW", w_btr, pte, ua, 1, false);
  one("xadd, avail", w_xadd, pte, ua, 0x200, false);
  one("inc, now present", w_inc, pte, ua & ~PTE_P, 0, false);
  one("mov 32 bits, not present", w_mov32, pte, ua, 0, false);
  one("mov 32 bits, upper half of not present", w_mov32_high, pte, 0, 0x80000000, false);
  one("mov 16 bits, flags", w_mov16, pte, ua & ~0xf000ul, (uint16_t)((ua & 0xf000) | 0x25), false);
  one("mov 8 bits, flags", w_mov8, pte, ua, 0x25, false);
  one("and 8 bits, not RW", w_and8, pte, ua, 0xfd, false);
  one("mov immediate", w_imm, pte, ua, 0, false);
  one("8 bits of displacement", w_disp8, pte, ua, ub, false);
  one("32 bits of displacement", w_disp32, pte, ua, ub, false);
  one("base and index", w_index, pte, ua, ub, false);
  one("base r12", w_base_r12, pte, ua, ub, false);
  one("base r13", w_base_r13, pte, ua, ub, false);
  one("from r9", w_from_r9, pte, ua, ub, false);
  args = (struct args){pte, ub, -8};
  must("entry", set_pte(pte, ua));
  w_xchg_r9((ulong)&args);
  expect_hex("xchg of r9 gives the old entry", (args.old ^ ua) & ~PTE_G, 0);
  expect_hex("and writes the new one", (*pte ^ ub) & ~PTE_G, 0);
  one("immediate, negative", w_imm_minus, pte, ua & ~PTE_P, 0, false);
  one("immediate, 32 bits", w_imm_32, pte, ua & ~PTE_P, 0, false);
  one("single-stepped", w_stepped, pte, ua, ub, false);
  one("stos", w_stos, pte, ua, ub, false);
  one("movs", w_movs, pte, ua, ub, false);
  one("rep stos over four", w_rep_stos, pte, ua, 0, false);
  one("unaligned mov", w_unaligned, pte, 0, 0, false);
}

static void refused(uint64_t *pte, void *a) {
  uint64_t ua = entry(a, PTE_USER);
  one("the APIC's frame", w_mov, pte, ua, (APIC_FRAME << PAGE_SHIFT) | PTE_USER, false);
  one("no frame", w_mov, pte, ua, (NO_FRAME << PAGE_SHIFT) | PTE_USER, false);
  one("a page table, writable", w_mov, pte, ua, entry(pte, PTE_USER), false);
  one("a page table, read-only", w_mov, pte, ua, entry(pte, PTE_USER & ~PTE_RW), false);
  one("present bit alone: frame 0xfee00", w_or, pte, (APIC_FRAME << PAGE_SHIFT) | (PTE_USER & ~PTE_P), PTE_P,
      0);
  for (unsigned level = 2; level <= 4; level++) {
    char name[32];
    struct regs regs;
    struct args args = {pte_of(USER_SCRATCH, level), 0, 0};
    uint64_t before = *args.pte;
    args.value = before;
    bool trapped = catch_kernel(w_mov, (ulong)&args, &regs);
    format(name, sizeof(name), "L%u, the same value", level);
    show(name, &args, &regs, trapped);
    check(!((*args.pte ^ before) & ~(PTE_A | PTE_D)), "L%u has changed", level);
  }
}

/* A read-only mapping of an ordinary page, and of a table that has no L1 type, is not for Xen to emulate. */
static void ordinary(void) {
  uint64_t *page = page_alloc(), *table = page_alloc();
  struct regs regs;
  struct args args = {page, 0, 0};
  must("read-only", make_readonly(page));
  show("ordinary page", &args, &regs, catch_kernel(w_mov, (ulong)&args, &regs));
  must("read-only", make_readonly(table));
  must("pin", mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(table), 0));
  args.pte = table;
  show("pinned L1 that maps nothing here", &args, &regs, catch_kernel(w_mov, (ulong)&args, &regs));
  must("unpin", mmuext(MMUEXT_UNPIN_TABLE, mfn_of(table), 0));
  show("the same page, unpinned", &args, &regs, catch_kernel(w_mov, (ulong)&args, &regs));
}

STUB(user_write, "mov %rax, (%rdi)");

void test_main(void) {
  uint64_t *a = page_alloc(), *b = page_alloc();
  uint64_t *pte = pte_of(USER_SCRATCH + 16 * PAGE_SIZE, 1);
  instructions(pte, a, b);
  refused(pte, a);
  ordinary();
  must("entry", set_pte(pte, entry(va_of_mfn((pte_of(USER_SCRATCH, 2)[0] & PTE_FRAME) >> PAGE_SHIFT),
                                   PTE_USER & ~PTE_RW)));
  expect_user("write to an L1", user_write, USER_SCRATCH + 16 * PAGE_SIZE, PF, 7);
}
