/* Interrupts, kicks and hlt: what comes from outside, and when. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

LABEL(code_spin);
LABEL(code_sti_spin);
LABEL(code_sti_shadow);
LABEL(code_sti_after);
LABEL(code_sti_mov_ss);
LABEL(code_ss_after);
LABEL(code_sti_hlt);
LABEL(code_sti_hlt_end);
LABEL(code_popf_spin);
LABEL(code_iretq_frame);
LABEL(code_hlt);
LABEL(code_hlt_end);
LABEL(code_lock_storm);
LABEL(code_add);

static void push_frame(struct guest *guest, uint64_t rip, int cs, uint64_t rflags, uint64_t rsp, int ss) {
  uint64_t *stack = guest_at(guest, STACK0 - 40);
  const uint64_t frame[] = {rip, cs, rflags, rsp, ss};
  for (int i = 0; i < 5; i++)
    stack[i] = frame[i];
}

/* A vector is kept until IF=1. */
static void held_until_if(void) {
  struct guest guest = guest_new(AT(code_spin));
  softcpu_raise_irq(guest.cpu, 0x40);
  softcpu_kick(guest.cpu);
  CHECK_EQ(softcpu_run(guest.cpu), SOFTCPU_EXIT_KICK);
  CHECK(softcpu_irq_pending(guest.cpu));
  guest_set_flags(&guest, 0x202);
  struct frame frame = guest_run(&guest);
  CHECK_EQ(frame.vector, 0x40);
  CHECK_EQ(frame.error, 0);
  CHECK(!softcpu_irq_pending(guest.cpu));
  guest_free(&guest);
}

/* The guest itself opens IF: by popf, by iretq, by sti. No kick is needed. */
static void delivered_when_opened(void) {
  struct guest guest = guest_new(AT(code_spin));
  softcpu_raise_irq(guest.cpu, 0x41);
  CHECK_EQ(guest_run_at(&guest, code_popf_spin, 0).vector, 0x41);
  softcpu_raise_irq(guest.cpu, 0x42);
  push_frame(&guest, AT(code_spin), CS1, 0x202, STACK1, DS1);
  guest_set_ring(&guest, 0);
  guest_set_flags(&guest, 2);
  guest_set_gpr(&guest, RSP, STACK0 - 40);
  guest_set_rip(&guest, AT(code_iretq_frame));
  struct frame frame = guest_run(&guest);
  CHECK_EQ(frame.vector, 0x42);
  CHECK_EQ(frame.cs, CS1);
  CHECK_EQ(frame.rip, AT(code_spin));
  guest_free(&guest);
}

/* SDM vol. 2, STI: the instruction after it runs first. Likewise MOV SS. */
static void shadows(void) {
  struct guest guest = guest_new(AT(code_spin));
  guest_set_flags(&guest, 2);
  softcpu_raise_irq(guest.cpu, 0x43);
  guest_set_gpr(&guest, RBX, 0);
  struct frame frame = guest_run_at(&guest, code_sti_spin, 0);
  CHECK_EQ(frame.vector, 0x43);
  CHECK_EQ(frame.rip, AT(code_sti_after));
  CHECK_EQ(guest_gpr(&guest, RBX), 1);
  guest_set_flags(&guest, 2);
  softcpu_raise_irq(guest.cpu, 0x44);
  guest_set_gpr(&guest, RBX, 0);
  frame = guest_run_at(&guest, code_sti_mov_ss, 0);
  CHECK_EQ(frame.vector, 0x44);
  CHECK(frame.rip <= AT(code_ss_after));
  guest_free(&guest);
}

static void priority(void) {
  struct guest guest = guest_new(AT(code_spin));
  static const uint8_t vectors[] = {0x30, 0xff, 0x80, 0x30, 0x7f};
  static const uint8_t order[] = {0xff, 0x80, 0x7f, 0x30};
  for (unsigned i = 0; i < sizeof(vectors); i++)
    softcpu_raise_irq(guest.cpu, vectors[i]);
  for (unsigned i = 0; i < sizeof(order); i++) {
    guest_set_flags(&guest, 0x202);
    CHECK_EQ(guest_run_at(&guest, code_spin, 0).vector, order[i]);
  }
  CHECK(!softcpu_irq_pending(guest.cpu));
  softcpu_raise_irq(guest.cpu, 0x55);
  CHECK(softcpu_clear_irq(guest.cpu, 0x55));
  CHECK(!softcpu_clear_irq(guest.cpu, 0x55));
  CHECK(!softcpu_irq_pending(guest.cpu));
  guest_free(&guest);
}

static void halt(void) {
  struct guest guest = guest_new(AT(code_hlt));
  CHECK_EQ(softcpu_run(guest.cpu), SOFTCPU_EXIT_HLT);
  CHECK_EQ(guest_rip(&guest), AT(code_hlt_end));
  /* IF=0: a pending vector does not wake it, and running on goes on behind the hlt. */
  guest_set_rip(&guest, AT(code_hlt));
  softcpu_raise_irq(guest.cpu, 0x40);
  CHECK_EQ(softcpu_run(guest.cpu), SOFTCPU_EXIT_HLT);
  CHECK_EQ(guest_run(&guest).rip, AT(code_hlt_end) + 2);
  /* IF=1: no exit at all, its handler returns to behind the hlt. */
  struct frame frame = guest_run_at(&guest, code_sti_hlt, 0);
  CHECK_EQ(frame.vector, 0x40);
  CHECK_EQ(frame.rip, AT(code_sti_hlt_end));
  /* And one that comes while it is halted. */
  guest_set_flags(&guest, 2);
  guest_set_rip(&guest, AT(code_sti_hlt));
  CHECK_EQ(softcpu_run(guest.cpu), SOFTCPU_EXIT_HLT);
  softcpu_raise_irq(guest.cpu, 0x41);
  frame = guest_run(&guest);
  CHECK_EQ(frame.vector, 0x41);
  CHECK_EQ(frame.rip, AT(code_sti_hlt_end));
  guest_free(&guest);
}

/* Sticky, one for several, before the first instruction. */
static void kick_before_run(void) {
  struct guest guest = guest_new(AT(code_spin));
  guest_set_gpr(&guest, RBX, 0);
  softcpu_kick(guest.cpu);
  softcpu_kick(guest.cpu);
  CHECK_EQ(softcpu_run(guest.cpu), SOFTCPU_EXIT_KICK);
  CHECK_EQ(guest_gpr(&guest, RBX), 0);
  CHECK_EQ(guest_rip(&guest), AT(code_spin));
  guest_set_rip(&guest, AT(code_add));
  CHECK_EQ(softcpu_run(guest.cpu), SOFTCPU_EXIT_PORT);
  softcpu_kick(guest.cpu);
  CHECK(softcpu_clear_kick(guest.cpu));
  CHECK(!softcpu_clear_kick(guest.cpu));
  guest_set_rip(&guest, AT(code_add));
  CHECK_EQ(softcpu_run(guest.cpu), SOFTCPU_EXIT_PORT);
  guest_free(&guest);
}

struct storm {
  softcpu *cpu;
  _Atomic bool stop;
  _Atomic uint64_t asked, answered;
};

/* Naps between two of them: on a busy machine whoever has just slept comes first, and who never does may
 * wait for as long as the guest is run. */
static void *kick_storm(void *argument) {
  struct storm *storm = argument;
  const struct timespec nap = {.tv_nsec = 1000};
  while (!storm->stop) {
    softcpu_kick(storm->cpu);
    nanosleep(&nap, NULL);
  }
  return NULL;
}

/* An exit never comes inside of an instruction: a locked one that was begun anew would find its own lock
 * taken. */
static uint64_t run_through_kicks(struct guest *guest, uint64_t rounds) {
  uint64_t kicks = 0, *counter = guest_at(guest, GUEST_DATA + 64);
  softcpu_exit reason;
  *counter = 0;
  guest_set_gpr(guest, RCX, rounds);
  guest_set_gpr(guest, RDI, GUEST_DATA);
  guest_set_gpr(guest, RSI, GUEST_DATA + 64);
  guest_set_gpr(guest, R9, 1);
  guest_set_gpr(guest, R8, 0);
  guest_set_rip(guest, AT(code_lock_storm));
  while ((reason = softcpu_run(guest->cpu)) == SOFTCPU_EXIT_KICK)
    kicks++;
  CHECK_EQ(reason, SOFTCPU_EXIT_PORT);
  CHECK_EQ(guest_gpr(guest, R8), 0);
  CHECK_EQ(*counter, rounds);
  return kicks;
}

static void kicks_between_instructions(void) {
  struct guest guest = guest_new(AT(code_lock_storm));
  struct storm storm = {.cpu = guest.cpu};
  pthread_t thread;
  uint64_t kicks = 0;
  pthread_create(&thread, NULL, kick_storm, &storm);
  while (kicks < 2000)
    kicks += run_through_kicks(&guest, 1000000);
  storm.stop = true;
  pthread_join(thread, NULL);
  guest_free(&guest);
}

static void *kick_and_wait(void *argument) {
  struct storm *storm = argument;
  while (!storm->stop) {
    uint64_t number = ++storm->asked;
    softcpu_kick(storm->cpu);
    while (storm->answered < number && !storm->stop)
      sched_yield();
  }
  return NULL;
}

/* Every kick ends a run of a guest that would spin for ever; one that were lost would hang this test. */
static void no_kick_is_lost(void) {
  struct guest guest = guest_new(AT(code_spin));
  struct storm storm = {.cpu = guest.cpu};
  pthread_t thread;
  pthread_create(&thread, NULL, kick_and_wait, &storm);
  for (int i = 0; i < 30000; i++) {
    CHECK_EQ(softcpu_run(guest.cpu), SOFTCPU_EXIT_KICK);
    storm.answered++;
  }
  storm.stop = true;
  pthread_join(thread, NULL);
  CHECK(softcpu_gpr(guest.cpu)[RBX] > 0);
  guest_free(&guest);
}

static void *raise_and_wait(void *argument) {
  struct storm *storm = argument;
  while (!storm->stop) {
    uint64_t number = ++storm->asked;
    softcpu_raise_irq(storm->cpu, 0x20 + number % 0xe0);
    while (storm->answered < number && !storm->stop)
      sched_yield();
  }
  return NULL;
}

/* From another thread, while the guest runs: each comes once and in order. */
static void irqs_from_outside(void) {
  struct guest guest = guest_new(AT(code_spin));
  struct storm storm = {.cpu = guest.cpu};
  pthread_t thread;
  guest_set_flags(&guest, 0x202);
  pthread_create(&thread, NULL, raise_and_wait, &storm);
  for (uint64_t i = 1; i <= 20000; i++) {
    struct frame frame = guest_run(&guest);
    CHECK_EQ(frame.vector, 0x20 + i % 0xe0);
    guest_resume(&guest);
    storm.answered++;
    if (frame.vector == (uint64_t)NO_VECTOR) break;
  }
  storm.stop = true;
  pthread_join(thread, NULL);
  guest_free(&guest);
}

const struct test interrupt_tests[] = {
    {"interrupts: held until IF", held_until_if},
    {"interrupts: delivered when the guest opens IF", delivered_when_opened},
    {"interrupts: shadows of sti and mov ss", shadows},
    {"interrupts: the highest first", priority},
    {"interrupts: hlt", halt},
    {"interrupts: a kick before the run", kick_before_run},
    {"interrupts: kicks come between instructions", kicks_between_instructions},
    {"interrupts: no kick is lost", no_kick_is_lost},
    {"interrupts: raised by another thread", irqs_from_outside},
    {0},
};
