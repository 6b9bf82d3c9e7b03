/* A bare-metal guest under the test's control. Its code is the blob of guests.S, copied to GUEST_CODE; any
 * exception, interrupt or int n ends in a port exit whose frame the test reads. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "softcpu.h"

enum {
  EXIT_PORT = 0xe9,
  RAM_BYTES = 16 << 20,

  /* Guest physical = virtual in the lower part, mapped writable and executable for every ring, in 4 KiB
     pages. */
  GUEST_GDT = 0x1000,
  GUEST_IDT = 0x2000,
  GUEST_TSS = 0x3000,
  GUEST_LDT = 0x6000,
  GUEST_DATA = 0x8000,    /* for the tests */
  GUEST_TABLES = 0x10000, /* PML4, PDPT, PD, then 8 page tables: 16 MiB */
  GUEST_CODE = 0x100000,
  STACK0 = 0x200000, /* ring 0's, ascending by 64 KiB for ring 1 and 3, IST 1 and 2 */
  STACK1 = 0x210000,
  STACK3 = 0x220000,
  STACK_IST1 = 0x230000,
  STACK_IST2 = 0x240000,
  STACK_TRAP = 0x250000, /* TSS.RSP0 */
  FREE = 0x400000,       /* nothing of the harness from here on */

  CS0 = 0x08,
  DS0 = 0x10,
  CS1 = 0x19,
  DS1 = 0x21,
  CS3_32 = 0x2b, /* for sysret: CS = STAR + 16, SS = STAR + 8 */
  DS3 = 0x33,
  CS3 = 0x3b,
  TSS = 0x40,
  LDT = 0x50,

  NO_VECTOR = -1,
};

/* What is on the stack of the trap stub. */
struct frame {
  uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct guest {
  softcpu *cpu;
  uint8_t *ram;
  const char *test; /* for messages */
};

#define LABEL(name) extern const char name[]
extern const char guest_begin[], guest_end[], guest_vectors[], guest_trap_exit[];
/* Where a label of guests.S is in the guest. */
#define AT(label) (GUEST_CODE + (uint64_t)((label)-guest_begin))

/* A CPU in long mode, ring 0, IF=0, about to run `entry`. Ends the program when it cannot be had. */
struct guest guest_new(uint64_t entry);
/* `marks`: softcpu_config.code_marks */
struct guest guest_new_marked(uint64_t entry, uint8_t *marks);
/* Another CPU over the same memory, in the same state. Freed by softcpu_destroy() alone. */
struct guest guest_sibling(const struct guest *guest, uint64_t entry);
void guest_free(struct guest *guest);
/* Ring 0, 1 or 3, with flat segments and a stack of its own. */
void guest_set_ring(struct guest *guest, int ring);
void guest_set_rip(struct guest *guest, uint64_t rip);
void guest_set_flags(struct guest *guest, uint64_t rflags);
void *guest_at(struct guest *guest, uint64_t gpa);
uint64_t guest_rip(struct guest *guest);
/* The page table entry of an address below 16 MiB; flush the TLB after a change. */
uint64_t *guest_pte(struct guest *guest, uint64_t gva);

/* Runs to the next exit by port. The frame when it was a trap, else a frame with vector NO_VECTOR and the
 * RIP. */
struct frame guest_run(struct guest *guest);
/* Returns from the trap that guest_run() has given. */
void guest_resume(struct guest *guest);

/* mov $value, %eax; ret */
void put_function(struct guest *guest, uint64_t gpa, uint32_t value);

/* Runs the label in a ring to the next exit. */
struct frame guest_run_at(struct guest *guest, const char *label, int ring);
void guest_set_gpr(struct guest *guest, int gpr, uint64_t value);
uint64_t guest_gpr(struct guest *guest, int gpr);

/* An IDT gate: type 0xe interrupt gate, 0xf trap gate; ist 0..7; present or not. */
void guest_set_gate(struct guest *guest, int vector, int type, int dpl, int ist, bool present);

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11 };

/* A test; the tables of all files are put together in main.c. */
struct test {
  const char *name;
  void (*run)(void);
};
extern const struct test exception_tests[], jump_tests[], interrupt_tests[], system_tests[], debug_tests[],
    memory_tests[], string_tests[], life_tests[], sibling_tests[], barrier_tests[], hostile_tests[];

extern int failures;
#define CHECK(condition) check(condition, #condition, __FILE__, __LINE__)
#define CHECK_EQ(a, b) check_equal((uint64_t)(a), (uint64_t)(b), #a " == " #b, __FILE__, __LINE__)
void check(bool condition, const char *text, const char *file, int line);
void check_equal(uint64_t a, uint64_t b, const char *text, const char *file, int line);

#endif
