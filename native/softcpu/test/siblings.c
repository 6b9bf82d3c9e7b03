/* CPUs that share memory and translated code, and take turns on one thread. */
#include "harness.h"

#include <string.h>

LABEL(code_add);
LABEL(code_call);
LABEL(code_rep_stosb);

static uint64_t call(struct guest *guest, uint64_t function) {
  guest_set_gpr(guest, RDI, function);
  CHECK_EQ(guest_run_at(guest, code_call, 0).vector, NO_VECTOR);
  return (uint32_t)guest_gpr(guest, RAX);
}

/* The guest's own store of one byte. */
static void store(struct guest *guest, uint64_t address, uint8_t byte) {
  guest_set_gpr(guest, RAX, byte);
  guest_set_gpr(guest, RDI, address);
  guest_set_gpr(guest, RCX, 1);
  CHECK_EQ(guest_run_at(guest, code_rep_stosb, 0).vector, 0x80);
}

/* One has the page's translation for stores before another makes code of the page. */
static void code_is_one(void) {
  struct guest a = guest_new(AT(code_add)), b = guest_sibling(&a, AT(code_add));
  put_function(&a, FREE, 1);
  store(&a, FREE + 1, 2);
  CHECK_EQ(call(&b, FREE), 2);
  CHECK_EQ(call(&b, FREE), 2);
  store(&a, FREE + 1, 3);
  CHECK_EQ(call(&b, FREE), 3);
  CHECK_EQ(call(&a, FREE), 3);
  store(&b, FREE + 1, 4);
  CHECK_EQ(call(&a, FREE), 4);
  put_function(&a, FREE, 5);
  softcpu_invalidate(b.cpu, FREE, 8);
  CHECK_EQ(call(&a, FREE), 5);
  softcpu_destroy(b.cpu);
  guest_free(&a);
}

static void state_is_each_ones(void) {
  struct guest a = guest_new(AT(code_add)), b = guest_sibling(&a, AT(code_add));
  guest_set_ring(&a, 3);
  CHECK_EQ(softcpu_cpl(a.cpu), 3);
  CHECK_EQ(softcpu_cpl(b.cpu), 0);
  *guest_pte(&a, FREE) = 0;
  softcpu_flush_tlb(a.cpu);
  softcpu_flush_tlb(b.cpu);
  guest_set_gpr(&a, RDI, FREE);
  CHECK_EQ(guest_run_at(&a, code_call, 0).vector, 14);
  CHECK_EQ(guest_run_at(&b, code_add, 0).vector, NO_VECTOR);
  softcpu_raise_irq(a.cpu, 0x40);
  CHECK(softcpu_irq_pending(a.cpu));
  CHECK(!softcpu_irq_pending(b.cpu));
  softcpu_destroy(b.cpu);
  guest_free(&a);
}

/* The room for code is used up again and again. */
static void code_flushed(void) {
  enum { FUNCTIONS = 12000, STEP = 64 };
  struct guest a = guest_new(AT(code_add)), b = guest_sibling(&a, AT(code_add));
  for (uint32_t i = 0; i < FUNCTIONS; i++)
    put_function(&a, FREE + i * STEP, i);
  for (int round = 0; round < 4; round++)
    for (uint32_t i = 0; i < FUNCTIONS; i++)
      CHECK_EQ(call(round % 2 ? &a : &b, FREE + i * STEP), i);
  softcpu_destroy(b.cpu);
  guest_free(&a);
}

static void pause_gives_way(void) {
  static const uint8_t code[] = {0xf3, 0x90, 0xe6, EXIT_PORT}; /* pause; out %al, $EXIT_PORT */
  struct guest a = guest_new(FREE);
  memcpy(guest_at(&a, FREE), code, sizeof(code));
  CHECK_EQ(softcpu_run(a.cpu), SOFTCPU_EXIT_PORT);
  struct guest b = guest_sibling(&a, FREE);
  CHECK_EQ(softcpu_run(b.cpu), SOFTCPU_EXIT_PAUSE);
  CHECK_EQ(guest_rip(&b), FREE + 2);
  CHECK_EQ(softcpu_run(b.cpu), SOFTCPU_EXIT_PORT);
  guest_set_rip(&a, FREE);
  CHECK_EQ(softcpu_run(a.cpu), SOFTCPU_EXIT_PAUSE);
  softcpu_destroy(b.cpu);
  guest_free(&a);
}

/* What they share goes with the last one, whichever that is. */
static void any_order(void) {
  for (int last = 0; last < 4; last++) {
    struct guest all[4];
    all[0] = guest_new(AT(code_add));
    for (int i = 1; i < 4; i++)
      all[i] = guest_sibling(&all[i - 1], AT(code_add));
    for (int i = 0; i < 4; i++)
      CHECK_EQ(guest_run_at(&all[i], code_add, 0).vector, NO_VECTOR);
    for (int i = 0; i < 4; i++)
      if (i != last) softcpu_destroy(all[i].cpu);
    put_function(&all[last], FREE, 7);
    CHECK_EQ(call(&all[last], FREE), 7);
    guest_free(&all[last]);
  }
}

const struct test sibling_tests[] = {
    {"siblings: code is one for all", code_is_one},
    {"siblings: state is each one's", state_is_each_ones},
    {"siblings: code is flushed for all", code_flushed},
    {"siblings: pause gives way", pause_gives_way},
    {"siblings: any order of ends", any_order},
    {0},
};
