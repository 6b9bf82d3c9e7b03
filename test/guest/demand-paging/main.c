/*
 * Rule: a page fault leaves the instruction as if it had not begun (a repeated one between two steps), so a
 * kernel may map the page and resume it by iret, in both modes.
 */
#include "test.h"

const char test_title[] = "Faults that are mended and resumed";

#define WINDOW USER_SCRATCH
#define PAGES 16

static uint8_t *pages[PAGES];
static unsigned faults;

/* Maps what is missing in the window; read-only entries become writable. */
static bool mend(struct regs *regs) {
  if (regs->vec != PF || trap_cr2 < WINDOW || trap_cr2 >= WINDOW + PAGES * PAGE_SIZE) return false;
  unsigned n = (unsigned)((trap_cr2 - WINDOW) / PAGE_SIZE);
  faults++;
  must("mend", set_l1e(WINDOW + n * PAGE_SIZE, ((uint64_t)mfn_of(pages[n]) << PAGE_SHIFT) | PTE_USER));
  return true;
}

static void unmap_all(void) {
  for (unsigned n = 0; n < PAGES; n++)
    must("unmap", set_l1e(WINDOW + n * PAGE_SIZE, 0));
  faults = 0;
}

STUB(touch_each, "mov $16, %ecx; 1: movb $1, (%rdi); add $4096, %rdi; dec %ecx; jnz 1b");
STUB(rep_stos, "cld; mov $0x5a, %eax; mov $65536, %ecx; rep stosb; mov %rcx, %rax");
STUB(rep_movs, "cld; lea 32768(%rdi), %rsi; xchg %rsi, %rdi; mov $4096, %ecx; rep movsq; mov %rcx, %rax");
STUB(rep_cmps,
     "cld; mov %rdi, %rsi; add $32768, %rdi; mov $4096, %ecx; repe cmpsq; setne %al; movzbl %al, %eax");
STUB(split_store,
     "movabs $0x1122334455667788, %rax; mov %rax, 4092(%rdi); xor %eax, %eax; mov 4092(%rdi), %rax");
STUB(push_pop, "mov %rsp, %rdx; lea 4096(%rdi), %rsp; push $0x77; pop %rax; mov %rdx, %rsp");
STUB(exchange, "mov $0x99, %eax; xchg %eax, (%rdi); mov (%rdi), %eax");
STUB(add_memory, "movl $1, %eax; lock xadd %eax, (%rdi); mov (%rdi), %eax");
STUB(cmpxchg16,
     "push %rbx; xor %eax, %eax; xor %edx, %edx; mov $1, %ebx; mov $2, %ecx; lock cmpxchg16b (%rdi);"
     "setz %al; movzbl %al, %eax; pop %rbx");
STUB(call_far_page, "movb $0xc3, (%rdi); call *%rdi; mov $0x21, %eax");
STUB(fp_store, "fninit; fldpi; fstpt 4090(%rdi); mov 4090(%rdi), %rax");
STUB(sse_store, "mov $0x1234, %eax; movd %eax, %xmm0; movups %xmm0, 4088(%rdi); mov 4088(%rdi), %rax");

static void user_only(const char *name, void (*fn)(ulong)) {
  struct regs r;
  for (unsigned n = 0; n < PAGES; n++)
    memset(pages[n], 0, PAGE_SIZE);
  unmap_all();
  catch_hook = mend;
  catch_user(fn, WINDOW, &r);
  catch_hook = NULL;
  print("%s: user %s %lx after %u faults", name, trap_name(r.vec), r.rax, faults);
}

static void both(const char *name, void (*fn)(ulong)) {
  for (unsigned n = 0; n < PAGES; n++)
    memset(pages[n], 0, PAGE_SIZE);
  unmap_all();
  ulong result = 0;
  asm volatile("call *%[fn]"
               : "+a"(result)
               : [fn] "b"(fn), "D"(WINDOW)
               : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory");
  print("%s: kernel %lx after %u faults", name, result, faults);
  user_only(name, fn);
}

void test_main(void) {
  for (unsigned n = 0; n < PAGES; n++)
    pages[n] = page_alloc();
  trap_hook = mend;
  both("a byte of each page", touch_each);
  both("rep stosb", rep_stos);
  both("rep movsq", rep_movs);
  both("repe cmpsq", rep_cmps);
  both("store over a page's end", split_store);
  /* Not in kernel mode: Xen could not write the fault's frame to a stack that is not there. */
  user_only("push and pop", push_pop);
  both("xchg", exchange);
  both("lock xadd", add_memory);
  both("lock cmpxchg16b", cmpxchg16);
  both("call into it", call_far_page);
  both("x87 store over a page's end", fp_store);
  both("SSE store over a page's end", sse_store);
}
