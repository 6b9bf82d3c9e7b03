/* What the project's patches add to Unicorn (x86 only). Linked from the static library that build.sh makes.
 *
 * Unless it says otherwise, a function is called on the thread that runs the vCPU, between runs or from a hook.
 * An engine holds one vCPU; nothing here is global. */
#ifndef XENNER_UC_H
#define XENNER_UC_H

#include <stdbool.h>
#include <stdint.h>
#include <unicorn/unicorn.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum uc_x86_exit {
  UC_X86_EXIT_NONE = 0,     /* has not run yet */
  UC_X86_EXIT_STOP = 1,     /* uc_emu_stop() */
  UC_X86_EXIT_KICK = 2,     /* uc_x86_kick() */
  UC_X86_EXIT_HLT = 3,      /* hlt; RIP is past it. A pending vector with IF=1 resumes instead of exiting */
  UC_X86_EXIT_SHUTDOWN = 4, /* triple fault; RIP is that of the instruction that began it */
  UC_X86_EXIT_ERROR = 5,    /* an engine error, see uc_errno(): e.g. a fetch outside of all mapped memory */
} uc_x86_exit;

/* Behave like a CPU: exceptions, software interrupts and syscall are delivered through the IDT and the MSRs, user-mode
 * port access asks the TSS. Decided before the first run; UC_ERR_ARG afterwards. Off: Unicorn's ordinary behaviour.
 * Also puts the FPU, MXCSR, XCR0, PAT and DR6/DR7 into their architectural reset state. */
uc_err uc_x86_set_native(uc_engine *uc, bool on);

/* Run from the present state until something in uc_x86_exit. The cheap way in: no argument, no timeout, no `until`.
 * RIP and RFLAGS are exact afterwards. uc_emu_start() works too. */
uc_x86_exit uc_x86_run(uc_engine *uc);

/* Why the last run (uc_x86_run or uc_emu_start) ended. */
uc_x86_exit uc_x86_last_exit(uc_engine *uc);

/* uc_emu_stop() from inside a UC_HOOK_INSN hook of IN or OUT ends the run right after that instruction: it has
 * completed, RIP is past it. From another thread or a signal handler it acts like uc_x86_kick(), but is lost when
 * no run is under way. */

/* Ends the current run, or the next one before its first instruction. Sticky until one run has returned for it.
 * Any thread; async-signal-safe. */
void uc_x86_kick(uc_engine *uc);

/* Makes a vector pending (0..255) until IF=1 and no interrupt shadow; highest vector first, as a LAPIC would.
 * Any thread; async-signal-safe. Raising a pending vector again is one interrupt. */
void uc_x86_raise_irq(uc_engine *uc, int vector);
/* Takes back a vector that has not been delivered. True if it was pending. Any thread. */
bool uc_x86_clear_irq(uc_engine *uc, int vector);
bool uc_x86_irq_pending(uc_engine *uc);

enum uc_x86_segment {
  UC_X86_SEG_ES = 0,
  UC_X86_SEG_CS = 1,
  UC_X86_SEG_SS = 2,
  UC_X86_SEG_DS = 3,
  UC_X86_SEG_FS = 4,
  UC_X86_SEG_GS = 5,
  UC_X86_SEG_LDTR = 6,
  UC_X86_SEG_TR = 7,
  UC_X86_SEGS = 8,
};

typedef struct uc_x86_seg {
  uint64_t base;
  uint32_t limit;    /* in bytes, already scaled by G */
  uint32_t flags;    /* the descriptor's upper dword: type, S, DPL, P in bits 8..15, AVL, L, D/B, G in bits 20..23 */
  uint32_t selector; /* CS: its RPL becomes CPL */
  uint32_t pad;
} uc_x86_seg;

/* Sets visible and hidden part without looking at any table. CS sets CPL and the code size. */
void uc_x86_set_seg(uc_engine *uc, int seg, uint32_t selector, uint64_t base, uint32_t limit, uint32_t flags);
int uc_x86_cpl(uc_engine *uc);

typedef struct uc_x86_state {
  uint64_t gpr[16]; /* in the encoding's order: rax rcx rdx rbx rsp rbp rsi rdi r8..r15 */
  uint64_t rip, rflags;
  uc_x86_seg seg[UC_X86_SEGS];
  uint64_t gdt_base, idt_base;
  uint32_t gdt_limit, idt_limit;
  uint64_t cr0, cr2, cr3, cr4;
  uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base; /* FS and GS base: seg[].base */
  uint64_t dr[8];
  uint64_t xcr0, pat;
  uint64_t tsc_offset; /* guest TSC = host TSC + tsc_offset */
} uc_x86_state;

/* Everything but FPU/SSE registers (uc_context_save keeps those) and pending vectors. set_state flushes the TLB when
 * paging changes. UC_ERR_ARG: values that no CPU accepts. */
uc_err uc_x86_get_state(uc_engine *uc, uc_x86_state *state);
uc_err uc_x86_set_state(uc_engine *uc, const uc_x86_state *state);

/* The general registers alone, for hypercall exits: the address of the live gpr[16]; valid as long as the engine. */
uint64_t *uc_x86_gpr(uc_engine *uc);

/* Guest RAM [gpa, gpa+len) was, or is about to be, written from outside (disk or net data, a hypercall's result): drop
 * translations made from it. Cheap when the pages hold no code. */
void uc_x86_invalidate(uc_engine *uc, uint64_t gpa, uint64_t len);

/* Forget address translations: the guest's page tables, or the memory map, were changed from outside. */
void uc_x86_flush_tlb(uc_engine *uc);
void uc_x86_invlpg(uc_engine *uc, uint64_t gva);

/* Locked instructions and fences become real host ones, for memory shared with other threads. Decided before the
 * first run; UC_ERR_ARG afterwards. */
uc_err uc_x86_set_parallel(uc_engine *uc, bool on);

#ifdef __cplusplus
}
#endif

#endif
