/* The software CPU: one x86-64 processor over a piece of the caller's memory,
 * in process. Behind it is the translator (TCG) of QEMU 7.2, built by build.sh,
 * GPL-2.0-or-later; nothing of QEMU's names shows here or in the library.
 *
 * It is a bare CPU: exceptions go through the guest's IDT, there is no
 * firmware, no device and no APIC. Physical addresses [0, ram_bytes) are the
 * caller's memory; beyond, reads give ones and writes are lost.
 *
 * A CPU, and its siblings with it, belongs to one thread at a time. A function may be called on any
 * thread, but unless it says otherwise not while another one is inside a call
 * for the same CPU. Different CPUs are independent of each other. */
#ifndef SOFTCPU_H
#define SOFTCPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct softcpu softcpu;

enum { SOFTCPU_MAX_CPUS = 256 };            /* at once in a process; softcpu_create fails beyond */
#define SOFTCPU_MAX_RAM (UINT64_C(1) << 36) /* bytes */

typedef struct softcpu_config {
  void *ram;           /* page aligned; stays the caller's, must outlive the CPU */
  uint64_t ram_bytes;  /* a multiple of 4096, 1 page .. SOFTCPU_MAX_RAM */
  uint32_t exit_port;  /* OUT to this port ends softcpu_run; above 0xffff: none
                          does */
  uint32_t code_mib;   /* room for translated code, address space until used; 0:
                          the default */
  uint8_t *code_marks; /* a byte for each page of RAM, zeros at first, or NULL: see softcpu_invalidate. The
                          caller's as the RAM is. */
  softcpu *sibling;    /* a further CPU of that one's machine: it has the same
                          memory, port and translated code, whatever is said
                          above. NULL: a machine of its own. */
} softcpu_config;

/* A CPU in its reset state: see softcpu_get_state; there is nothing to run at
 * the reset vector, so set a state first. NULL and a message (a constant) in
 * *error when memory or one of the limits above runs out. */
softcpu *softcpu_create(const softcpu_config *config, const char **error);

/* Frees everything. NULL is allowed. No other thread may use the handle any
 * more, kicks included. */
void softcpu_destroy(softcpu *cpu);

typedef enum softcpu_exit {
  SOFTCPU_EXIT_PORT = 1,     /* OUT, of any size, to the exit port; it has
                                completed, RIP is past it */
  SOFTCPU_EXIT_KICK = 2,     /* softcpu_kick; between two instructions */
  SOFTCPU_EXIT_HLT = 3,      /* hlt, RIP is past it, and no interrupt is deliverable;
                                running again goes on after it */
  SOFTCPU_EXIT_SHUTDOWN = 4, /* triple fault; the CPU is as the fault left it */
  SOFTCPU_EXIT_ERROR = 5,    /* the engine cannot go on: softcpu_error */
  SOFTCPU_EXIT_PAUSE = 6,    /* pause, of a CPU that has siblings: it may wait for one of them */
} softcpu_exit;

/* Runs until something of the above. */
softcpu_exit softcpu_run(softcpu *cpu);

/* Why the last SOFTCPU_EXIT_ERROR: a constant, never NULL. */
const char *softcpu_error(const softcpu *cpu);

/* Ends the current run, or the next one before its first instruction. Sticky
 * until a run has returned SOFTCPU_EXIT_KICK for it; several kicks before that
 * are one. Any thread, at any time; async-signal-safe. */
void softcpu_kick(softcpu *cpu);

/* Takes back a kick that no run has returned for. True if there was one. Any
 * thread. */
bool softcpu_clear_kick(softcpu *cpu);

/* Makes a vector (0..255) pending until IF=1 and no interrupt shadow; the
 * highest first, as a LAPIC would. Raising a pending vector again is one
 * interrupt. Any thread, at any time; async-signal-safe. */
void softcpu_raise_irq(softcpu *cpu, uint8_t vector);
/* Takes back a vector that has not been delivered. True if it was pending. Any
 * thread. */
bool softcpu_clear_irq(softcpu *cpu, uint8_t vector);
bool softcpu_irq_pending(const softcpu *cpu);

enum softcpu_segment {
  SOFTCPU_ES = 0,
  SOFTCPU_CS = 1,
  SOFTCPU_SS = 2,
  SOFTCPU_DS = 3,
  SOFTCPU_FS = 4,
  SOFTCPU_GS = 5,
  SOFTCPU_LDTR = 6,
  SOFTCPU_TR = 7,
  SOFTCPU_SEGMENTS = 8,
};

typedef struct softcpu_seg {
  uint64_t base;
  uint32_t limit;    /* in bytes, already scaled by G */
  uint32_t flags;    /* the descriptor's upper dword: type, S, DPL, P in
                        bits 8..15, AVL, L, D/B, G in bits 20..23 */
  uint32_t selector; /* SS: the DPL in its flags is the CPL */
  uint32_t pad;
} softcpu_seg;

typedef struct softcpu_state {
  uint64_t gpr[16]; /* in the encoding's order: rax rcx rdx rbx rsp rbp rsi rdi
                       r8..r15 */
  uint64_t rip, rflags;
  softcpu_seg seg[SOFTCPU_SEGMENTS];
  uint64_t gdt_base, idt_base;
  uint32_t gdt_limit, idt_limit;
  uint64_t cr0, cr2, cr3, cr4;
  uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base; /* FS and GS base: seg[].base */
  uint64_t dr[8];
  uint64_t xcr0, pat;
  uint64_t tsc_offset; /* guest TSC = host TSC + tsc_offset; 0 after create */
} softcpu_state;

/* Everything but FPU and SSE registers, which are in their reset state after
 * create (softcpu_get_fpu), and pending vectors. */
void softcpu_get_state(softcpu *cpu, softcpu_state *state);
/* False, and nothing changed: values that no CPU accepts (long mode without
 * paging, reserved bits of EFER...). Flushes the TLB. Ends an interrupt shadow.
 */
bool softcpu_set_state(softcpu *cpu, const softcpu_state *state);

/* FPU and SSE registers, as FXSAVE lays them out in 64-bit mode. Any bytes may be set: bits that the CPU has
 * not are dropped. */
enum { SOFTCPU_FPU_BYTES = 512 };
void softcpu_get_fpu(softcpu *cpu, uint8_t *bytes);
void softcpu_set_fpu(softcpu *cpu, const uint8_t *bytes);

/* The live general registers, in the order of softcpu_state, for use between
 * runs; valid as long as the CPU.
 */
uint64_t *softcpu_gpr(softcpu *cpu);
int softcpu_cpl(const softcpu *cpu);

/* What CPUID answers, from now on; a leaf that is not in the table reads as
 * zeros, and before the first call all do. The table is copied. False: more
 * than SOFTCPU_MAX_CPUID entries. Whatever the table says, the CPU implements
 * x86-64 with SSE4.2, AES, PCLMULQDQ, POPCNT, MOVBE, BMI1/2, ADX, RDRAND,
 * RDSEED, FSGSBASE, XSAVE/XSAVEOPT, SMEP, SMAP, NX, 1 GiB pages, PCID off, no
 * AVX. */
typedef struct softcpu_cpuid {
  uint32_t function, index; /* index SOFTCPU_ANY_INDEX: whatever ECX holds */
  uint32_t eax, ebx, ecx, edx;
} softcpu_cpuid;
enum { SOFTCPU_MAX_CPUID = 256 };
#define SOFTCPU_ANY_INDEX UINT32_C(0xffffffff)
bool softcpu_set_cpuid(softcpu *cpu, const softcpu_cpuid *entries, size_t count);

/* A debugger's instruction breakpoints, by linear address, instead of those of the last call; the list is
 * copied. Outside of ring 0 such an instruction raises #DB as one in DR0..3 does, with SOFTCPU_DR6_BREAKPOINT
 * in DR6, which is 0 in every processor. False: more than SOFTCPU_MAX_BREAKPOINTS. */
bool softcpu_set_breakpoints(softcpu *cpu, const uint64_t *addresses, size_t count);
enum { SOFTCPU_MAX_BREAKPOINTS = 1024, SOFTCPU_DR6_BREAKPOINT = 1 << 12 };

/* Guest memory [gpa, gpa+len) was, or is about to be, written from outside
 * (disk or net data, a hypercall's result): drops translations made from it.
 * Cheap when the pages hold no code.
 * Another thread that wrote to memory reads code_marks afterwards, behind a full
 * barrier: where the page's byte is 0, there is nothing to drop; otherwise
 * there may be, until this was called for the whole page. */
void softcpu_invalidate(softcpu *cpu, uint64_t gpa, uint64_t len);

/* Forgets address translations: the guest's page tables were changed from
 * outside. */
void softcpu_flush_tlb(softcpu *cpu);
void softcpu_invlpg(softcpu *cpu, uint64_t gva);

#ifdef __cplusplus
}
#endif

#endif
