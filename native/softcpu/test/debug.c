/* Single steps, breakpoints and watchpoints (Intel SDM vol. 3, chapter 17). */
#include "harness.h"

#include <string.h>

LABEL(code_steps);
LABEL(code_step1);
LABEL(code_step2);
LABEL(code_step3);
LABEL(code_iretq_frame);
LABEL(code_watched);
LABEL(code_watched_1);
LABEL(code_watched_2);
LABEL(code_watched_3);
LABEL(code_watched_push);
LABEL(code_syscall);
LABEL(code_syscall_entry);
LABEL(code_out);
LABEL(code_out_end);
LABEL(code_add);
LABEL(code_add_end);
LABEL(code_int80);

enum { TF = 0x100, IF = 0x200, RF = 1 << 16, DR6_BS = 1 << 14 };

static softcpu_state get(struct guest *guest) {
  softcpu_state state;
  softcpu_get_state(guest->cpu, &state);
  return state;
}

static void set_debug(struct guest *guest, uint64_t dr0, uint64_t dr7) {
  softcpu_state state = get(guest);
  state.dr[0] = dr0;
  state.dr[6] = 0xffff0ff0;
  state.dr[7] = dr7 | 0x400;
  softcpu_set_state(guest->cpu, &state);
}

/* Ring 0 runs an iretq with this frame. */
static struct frame iretq(struct guest *guest, const uint64_t frame[5]) {
  for (int i = 0; i < 5; i++)
    ((uint64_t *)guest_at(guest, STACK0 - 40))[i] = frame[i];
  guest_set_ring(guest, 0);
  guest_set_flags(guest, 2);
  guest_set_gpr(guest, RSP, STACK0 - 40);
  guest_set_rip(guest, AT(code_iretq_frame));
  return guest_run(guest);
}

static struct frame iretq_to(struct guest *guest, int ring, uint64_t rip, uint64_t rflags) {
  static const int code[] = {CS0, CS1, 0, CS3}, data[] = {DS0, DS1, 0, DS3};
  static const uint64_t stack[] = {STACK_IST1, STACK1, 0, STACK3};
  const uint64_t frame[] = {rip, code[ring], rflags, stack[ring], data[ring]};
  return iretq(guest, frame);
}

/* iretq with TF set: one instruction, then #DB with DR6.BS; again and again, with IF clear as the monitor has
 * it. */
static void single_step(void) {
  struct guest guest = guest_new(AT(code_steps));
  const char *const stops[] = {code_step1, code_step2, code_step3, code_steps, code_step1};
  for (int ring = 1; ring <= 3; ring += 2) {
    for (int flags = 0; flags <= IF; flags += IF) {
      set_debug(&guest, 0, 0);
      struct frame frame = iretq_to(&guest, ring, AT(code_steps), TF | flags | 2);
      for (int i = 0; i < 5; i++) {
        CHECK_EQ(frame.vector, 1);
        CHECK_EQ(frame.rip, AT(stops[i]));
        CHECK_EQ(frame.cs & 3, ring);
        CHECK_EQ(frame.rflags & (TF | IF), TF | flags);
        CHECK(get(&guest).dr[6] & DR6_BS);
        CHECK(!(get(&guest).rflags & TF));
        guest_resume(&guest);
        frame = guest_run(&guest);
      }
    }
  }
  guest_free(&guest);
}

/* A step over SYSCALL with TF in FMASK: it ends in ring 0 without a trap; without it, the trap comes there.
 */
static void step_over_syscall(void) {
  struct guest guest = guest_new(AT(code_steps));
  softcpu_state state = get(&guest);
  state.star = (uint64_t)CS3_32 << 48 | (uint64_t)CS0 << 32;
  state.lstar = AT(code_syscall_entry);
  state.fmask = 0x700;
  softcpu_set_state(guest.cpu, &state);
  struct frame frame = iretq_to(&guest, 3, AT(code_syscall), TF | 2);
  CHECK_EQ(frame.vector, NO_VECTOR);
  CHECK_EQ(frame.rip, AT(code_syscall_entry) + 2);
  CHECK(guest_gpr(&guest, R11) & TF);
  guest_free(&guest);
}

/* An OUT to the exit port that is stepped: the exit comes first, with RIP behind it; then the trap. */
static void step_over_exit(void) {
  struct guest guest = guest_new(AT(code_steps));
  guest_set_gpr(&guest, RDX, EXIT_PORT);
  struct frame frame = iretq_to(&guest, 0, AT(code_out), TF | 2);
  CHECK_EQ(frame.vector, NO_VECTOR);
  CHECK_EQ(frame.rip, AT(code_out_end));
  frame = guest_run(&guest);
  CHECK_EQ(frame.vector, 1);
  CHECK_EQ(frame.rip, AT(code_out_end));
  guest_free(&guest);
}

/* An instruction breakpoint is a fault before the instruction; RF in the frame that is returned to skips it
 * once. */
static void breakpoint(void) {
  struct guest guest = guest_new(AT(code_steps));
  for (int ring = 0; ring <= 3; ring++) {
    if (ring == 2) continue;
    set_debug(&guest, AT(code_step2), 0x2); /* G0, execution */
    struct frame frame = guest_run_at(&guest, code_steps, ring);
    CHECK_EQ(frame.vector, 1);
    CHECK_EQ(frame.rip, AT(code_step2));
    CHECK_EQ(get(&guest).dr[6] & 0xf, 1);
    CHECK(!(get(&guest).dr[6] & DR6_BS));
    uint64_t *rflags = guest_at(&guest, guest_gpr(&guest, RSP) + 32);
    *rflags |= RF;
    guest_resume(&guest);
    frame = guest_run(&guest); /* once round the loop */
    CHECK_EQ(frame.vector, 1);
    CHECK_EQ(frame.rip, AT(code_step2));
  }
  set_debug(&guest, AT(code_step2), 0);
  CHECK_EQ(guest_run_at(&guest, code_add, 0).rip, AT(code_add_end));
  guest_free(&guest);
}

/* A debugger's breakpoints: as those of DR0..3, marked in DR6, in any number up to the limit, and never in
 * ring 0. */
static void debuggers_breakpoints(void) {
  struct guest guest = guest_new(AT(code_steps));
  uint64_t addresses[SOFTCPU_MAX_BREAKPOINTS + 1];
  for (int i = 0; i <= SOFTCPU_MAX_BREAKPOINTS; i++)
    addresses[i] = AT(code_step2) + (uint64_t)(SOFTCPU_MAX_BREAKPOINTS / 2 - i) * 0x1001;
  CHECK_EQ(guest_run_at(&guest, code_int80, 3).vector, 0x80);
  CHECK(!softcpu_set_breakpoints(guest.cpu, addresses, SOFTCPU_MAX_BREAKPOINTS + 1));
  CHECK(softcpu_set_breakpoints(guest.cpu, addresses, SOFTCPU_MAX_BREAKPOINTS));
  for (int ring = 1; ring <= 3; ring += 2) {
    struct frame frame = guest_run_at(&guest, code_steps, ring);
    for (int i = 0; i < 2; i++) {
      CHECK_EQ(frame.vector, 1);
      CHECK_EQ(frame.rip, AT(code_step2));
      CHECK_EQ(get(&guest).dr[6] & (SOFTCPU_DR6_BREAKPOINT | 0xf), SOFTCPU_DR6_BREAKPOINT);
      uint64_t *rflags = guest_at(&guest, guest_gpr(&guest, RSP) + 32);
      *rflags |= RF;
      guest_resume(&guest);
      frame = guest_run(&guest); /* once round the loop */
    }
  }
  addresses[0] = AT(code_int80);
  CHECK(softcpu_set_breakpoints(guest.cpu, addresses, 1));
  CHECK_EQ(guest_run_at(&guest, code_int80, 0).vector, 0x80);
  CHECK_EQ(guest_run_at(&guest, code_int80, 3).vector, 1);
  CHECK(softcpu_set_breakpoints(guest.cpu, addresses, 0));
  CHECK_EQ(guest_run_at(&guest, code_int80, 3).vector, 0x80);
  guest_free(&guest);
}

/* Breakpoints are at linear addresses: EIP and the base of its segment; without any bits above 32. */
static void breakpoint_in_segment(void) {
  enum { SEGMENT = 0x60, BASE = 0x3000 };
  static const uint8_t code[] = {0x90, 0x90, 0xcd, 0x80}; /* nop; nop; int $0x80 */
  struct guest guest = guest_new(AT(code_steps));
  memcpy(guest_at(&guest, FREE), code, sizeof(code));
  ((uint64_t *)guest_at(&guest, GUEST_GDT))[SEGMENT / 8] = 0x00cffb000000ffff | (uint64_t)BASE << 16;
  const uint64_t based[] = {FREE - BASE, SEGMENT | 3, 2, STACK3, DS3};
  const uint64_t high[] = {FREE | 8ull << 32, CS3_32, 2, STACK3, DS3};
  set_debug(&guest, FREE + 1, 0x2);
  struct frame frame = iretq(&guest, based);
  CHECK_EQ(frame.vector, 1);
  CHECK_EQ(frame.rip, FREE + 1 - BASE);
  CHECK_EQ(get(&guest).dr[6] & 0xf, 1);
  set_debug(&guest, FREE, 0x2);
  frame = iretq(&guest, high);
  CHECK_EQ(frame.vector, 1);
  CHECK_EQ((uint32_t)frame.rip, FREE);
  CHECK_EQ(get(&guest).dr[6] & 0xf, 1);
  set_debug(&guest, FREE + 1 - BASE, 0x2); /* EIP alone does not count */
  CHECK_EQ(iretq(&guest, based).vector, 0x80);
  guest_free(&guest);
}

/* A data breakpoint is a trap after the access, of its exact bytes, and for reads only when it is asked for.
 */
static void watchpoint(void) {
  struct guest guest = guest_new(AT(code_steps));
  for (int kind = 1; kind <= 3; kind += 2) { /* writes; reads and writes */
    set_debug(&guest, GUEST_DATA, 0x2 | kind << 16 | 3 << 18);
    guest_set_gpr(&guest, RDI, GUEST_DATA);
    struct frame frame = guest_run_at(&guest, code_watched, 3);
    CHECK_EQ(frame.vector, 1);
    CHECK_EQ(frame.rip, AT(code_watched_2));
    CHECK_EQ(*(uint32_t *)guest_at(&guest, GUEST_DATA), 2);
    CHECK_EQ(get(&guest).dr[6] & 0xf, 1);
    guest_resume(&guest);
    frame = guest_run(&guest);
    CHECK_EQ(frame.vector, kind == 3 ? 1 : 0x80);
    if (kind == 3) CHECK_EQ(frame.rip, AT(code_watched_3));
  }
  guest_free(&guest);
}

/* A step over an instruction that hits a watchpoint is one #DB, for both reasons. */
static void step_over_watchpoint(void) {
  struct guest guest = guest_new(AT(code_steps));
  set_debug(&guest, GUEST_DATA, 0x2 | 1 << 16 | 3 << 18);
  guest_set_gpr(&guest, RDI, GUEST_DATA);
  struct frame frame = iretq_to(&guest, 3, AT(code_watched_1), TF | 2);
  CHECK_EQ(frame.vector, 1);
  CHECK_EQ(frame.rip, AT(code_watched_2));
  CHECK_EQ(frame.cs, CS3);
  CHECK_EQ(get(&guest).dr[6] & (DR6_BS | 0xf), DR6_BS | 1);
  guest_free(&guest);
}

/* An instruction that faults behind the access that hit is a fault alone; what hits afterwards is looked at
 * anew. */
static void fault_behind_watchpoint(void) {
  struct guest guest = guest_new(AT(code_steps));
  set_debug(&guest, GUEST_DATA, 0x2 | 3 << 16 | 3 << 18);
  *guest_pte(&guest, STACK3 - 0x1000) = 0;
  softcpu_flush_tlb(guest.cpu);
  guest_set_gpr(&guest, RDI, GUEST_DATA);
  struct frame frame = guest_run_at(&guest, code_watched_push, 3);
  CHECK_EQ(frame.vector, 14);
  CHECK_EQ(frame.rip, AT(code_watched_push));
  guest_set_gpr(&guest, RDI, GUEST_DATA + 64);
  CHECK_EQ(guest_run_at(&guest, code_watched, 1).vector, 0x80);
  guest_set_gpr(&guest, RDI, GUEST_DATA);
  CHECK_EQ(guest_run_at(&guest, code_watched, 1).vector, 1);
  guest_free(&guest);
}

const struct test debug_tests[] = {
    {"debug: single steps of ring 1 and 3", single_step},
    {"debug: a step over syscall", step_over_syscall},
    {"debug: a step over a port exit", step_over_exit},
    {"debug: breakpoints", breakpoint},
    {"debug: a debugger's breakpoints", debuggers_breakpoints},
    {"debug: breakpoints in segments with a base", breakpoint_in_segment},
    {"debug: watchpoints", watchpoint},
    {"debug: a step over a watchpoint", step_over_watchpoint},
    {"debug: a fault behind a watchpoint", fault_behind_watchpoint},
    {0},
};
