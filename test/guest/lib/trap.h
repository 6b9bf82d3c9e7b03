/* Traps: what a bounce frame held, and running code that is meant to trap. */
#ifndef LIB_TRAP_H
#define LIB_TRAP_H

#include "xen.h"

#define X86_EFLAGS_CF 0x1ul
#define X86_EFLAGS_TF 0x100ul
#define X86_EFLAGS_IF 0x200ul
#define X86_EFLAGS_DF 0x400ul
#define X86_EFLAGS_OF 0x800ul
#define X86_EFLAGS_IOPL 0x3000ul
#define X86_EFLAGS_NT 0x4000ul
#define X86_EFLAGS_RF 0x10000ul
#define X86_EFLAGS_AC 0x40000ul
#define X86_EFLAGS_ID 0x200000ul

enum {
  DE = 0,
  DB = 1,
  NMI = 2,
  BP = 3,
  OF = 4,
  BR = 5,
  UD = 6,
  NM = 7,
  DF = 8,
  TS = 10,
  NP = 11,
  SS = 12,
  GP = 13,
  PF = 14,
  MF = 16,
  AC = 17,
  XM = 19,
  /* Not vectors: the callbacks' entries, and the absence of any trap. */
  EVENT_UPCALL = 0x100,
  SYSCALL_CALLBACK,
  FAILSAFE_CALLBACK,
  SYSENTER_CALLBACK,
  SYSCALL32_CALLBACK,
  NMI_CALLBACK,
  NO_TRAP = 0xffff,
};

/* Ring-3 code comes back with `int $RETURN_VECTOR`; its rax is then the result. */
#define RETURN_VECTOR 0x20

struct regs {
  ulong r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
  ulong vec, err;
  /* From here on as Xen wrote it. saved_upcall_mask shares a word with cs. */
  ulong rip;
  uint16_t cs, cs_pad;
  uint8_t saved_upcall_mask, mask_pad[3];
  ulong rflags, rsp;
  ulong ss;
};

/* Set before the handler returns or a catch ends: CR2 as Xen keeps it for the guest (arch.cr2). */
extern ulong trap_cr2;
/* Address just above the frame that Xen wrote for the last trap. */
extern ulong trap_frame_top;
/* The top of the stack that Xen enters the kernel on from ring 3. */
extern char trap_stack_end[];
/* The four selectors of the last failsafe frame: ds, es, fs, gs. */
extern ulong failsafe_selectors[4];

/* Called for every trap outside a catch; true: resume with the registers as the hook left them. */
extern bool (*trap_hook)(struct regs *regs);
/* Called for event upcalls; by default they are an error. */
extern void (*upcall_hook)(struct regs *regs);

static inline ulong read_rflags(void) {
  ulong flags;
  asm volatile("pushfq; pop %0" : "=r"(flags));
  return flags;
}

/* A function of one argument in assembly, reachable from both modes; falls through to `ret`. */
#define STUB(name, code)                                                                                     \
  void name(ulong arg);                                                                                      \
  asm(".pushsection .user.text, \"ax\", @progbits\n"                                                         \
      ".globl " #name "\n.type " #name ", @function\n" #name ":\n" code "\nret\n.popsection")

/* Runs fn(arg) in kernel mode until it returns (false) or traps (true, *regs says how). */
bool catch_kernel(void (*fn)(ulong), ulong arg, struct regs *regs);
/* Runs fn(arg), which must be a STUB or .user.text, in ring 3. Returning is RETURN_VECTOR. */
void catch_user(void (*fn)(ulong), ulong arg, struct regs *regs);
/* Puts the way back on top of the ring-3 stack: a context that starts at USER_STACK_TOP - 8 may return. */
void set_user_return(void);
/* Sees each trap within a catch first; returning true resumes it. */
extern bool (*catch_hook)(struct regs *regs);
/* The same, but the hook sees each trap first and resumes it by returning true. */
void catch_user_hooked(void (*fn)(ulong), ulong arg, bool (*hook)(struct regs *), struct regs *regs);
/* catch_user with every register of the new context given: rip, cs, rflags, rsp, ss too, and
 * HYPERVISOR_iret's flags. */
void catch_iret(const struct regs *context, ulong vgcf, struct regs *regs);

/* "#GP", "#PF", "int 80", "syscall", "none". */
const char *trap_name(ulong vec);
bool trap_has_error_code(ulong vec);

/* Run, print "kernel NAME: #GP[0000] +3" (error code, how far into fn), fail when it is not what is wanted.
 */
void expect_kernel(const char *name, void (*fn)(ulong), ulong arg, ulong vec, ulong err);
void expect_user(const char *name, void (*fn)(ulong), ulong arg, ulong vec, ulong err);

/* One gate. flags: DPL in bits 0-1, 4: mask upcalls at entry. The address 0 takes the gate away. */
void set_gate(unsigned vec, unsigned flags, ulong address);
/* The library's own entry for a vector below 0x100. */
ulong trap_entry(unsigned vec);

void traps_init(void);
void trap_c(struct regs *regs);

#endif
