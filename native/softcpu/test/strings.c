/* REP MOVS and REP STOS, which are done by the page where that cannot be told from one element after the
 * other. */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

LABEL(code_add);
LABEL(code_rep_movsb);
LABEL(code_rep_movsw);
LABEL(code_rep_movsl);
LABEL(code_rep_movsq);
LABEL(code_rep_stosb);
LABEL(code_rep_stosw);
LABEL(code_rep_stosl);
LABEL(code_rep_stosq);
LABEL(code_rep_movsb_fs);
LABEL(code_rep_movsb_32);
LABEL(code_call);

static const char *const movs[] = {code_rep_movsb, code_rep_movsw, code_rep_movsl, code_rep_movsq};
static const char *const stos[] = {code_rep_stosb, code_rep_stosw, code_rep_stosl, code_rep_stosq};
enum { SOURCE = FREE, TARGET = FREE + 0x100000, WINDOW = 0x8000 };
#define PATTERN UINT64_C(0x112233445566771a)

static softcpu_state get(struct guest *guest) {
  softcpu_state state;
  softcpu_get_state(guest->cpu, &state);
  return state;
}

static void fill(struct guest *guest) {
  uint8_t *source = guest_at(guest, SOURCE), *target = guest_at(guest, TARGET);
  for (int i = 0; i < WINDOW; i++) {
    source[i] = (uint8_t)(i * 7 + (i >> 8));
    target[i] = (uint8_t)~i;
  }
}

static struct frame run(struct guest *guest, const char *code, uint64_t to, uint64_t from, uint64_t count) {
  guest_set_gpr(guest, RDI, to);
  guest_set_gpr(guest, RSI, from);
  guest_set_gpr(guest, RCX, count);
  return guest_run_at(guest, code, 0);
}

/* One element after the other, in C. */
static void model(uint8_t *to, const uint8_t *from, uint64_t count, int shift, bool down) {
  for (uint64_t i = 0; i < count; i++) {
    int64_t at = (down ? -1 : 1) * (int64_t)(i << shift);
    uint64_t element = PATTERN;
    if (from) memcpy(&element, from + at, 1 << shift);
    memcpy(to + at, &element, 1 << shift);
  }
}

/* Both ways, of every size, from any address to any, overlapping too: as the model has it. */
static void like_the_model(void) {
  struct guest guest = guest_new(AT(code_add));
  uint8_t *expected = malloc(WINDOW);
  srand(1);
  for (int i = 0; i < 4000; i++) {
    int shift = rand() % 4;
    bool down = rand() % 8 == 0, store = rand() % 2, overlap = rand() % 3 == 0;
    uint64_t count = rand() % 4 ? rand() % 40 : rand() % (0x2800 >> shift);
    uint64_t from = SOURCE + 0x3000 + rand() % 0x1000, to = TARGET + 0x3000 + rand() % 0x1000;
    if (overlap) from = to + rand() % 64 - 32;
    if (down) from += count << shift, to += count << shift;
    fill(&guest);
    memcpy(expected, guest_at(&guest, TARGET), WINDOW);
    uint8_t *model_to = expected + (to - TARGET);
    const uint8_t *model_from = overlap ? expected + (from - TARGET) : guest_at(&guest, from);
    model(model_to, store ? NULL : model_from, count, shift, down);
    guest_set_flags(&guest, down ? 0x402 : 2);
    guest_set_gpr(&guest, RAX, PATTERN);
    struct frame frame = run(&guest, store ? stos[shift] : movs[shift], to, from, count);
    int64_t moved = (down ? -1 : 1) * (int64_t)(count << shift);
    CHECK_EQ(frame.vector, 0x80);
    CHECK_EQ(guest_gpr(&guest, RCX), 0);
    CHECK_EQ(guest_gpr(&guest, RDI), to + moved);
    CHECK_EQ(guest_gpr(&guest, RSI), store ? from : from + moved);
    bool same = !memcmp(expected, guest_at(&guest, TARGET), WINDOW);
    CHECK(same);
    if (!same) break;
  }
  free(expected);
  guest_free(&guest);
}

/* A page that is missing or may not be written: everything before it is done, and the registers say so. */
static void faults_in_the_middle(void) {
  struct guest guest = guest_new(AT(code_add));
  for (int shift = 0; shift < 4; shift++) {
    for (int kind = 0; kind < 3; kind++) { /* the source is missing, the target is, the target is read only */
      fill(&guest);
      uint64_t bad = kind ? TARGET + 0x3000 : SOURCE + 0x3000, offset = 0x3000 - 0x1238;
      *guest_pte(&guest, bad) = kind == 2 ? bad | 5 : 0;
      softcpu_flush_tlb(guest.cpu);
      struct frame frame = run(&guest, movs[shift], TARGET + offset, SOURCE + offset, 0x4000 >> shift);
      CHECK_EQ(frame.vector, 14);
      CHECK_EQ(frame.rip, AT(movs[shift]));
      CHECK_EQ(frame.error, kind == 0 ? 0 : kind == 1 ? 2 : 3);
      CHECK_EQ(get(&guest).cr2, bad);
      CHECK_EQ(guest_gpr(&guest, RDI), TARGET + 0x3000);
      CHECK_EQ(guest_gpr(&guest, RSI), SOURCE + 0x3000);
      CHECK_EQ(guest_gpr(&guest, RCX), (0x4000 - 0x1238) >> shift);
      CHECK(!memcmp(guest_at(&guest, TARGET + offset), guest_at(&guest, SOURCE + offset), 0x1238));
      CHECK_EQ(*(uint8_t *)guest_at(&guest, TARGET + 0x3000), (uint8_t)~0x3000);
      *guest_pte(&guest, bad) = bad | 7;
      softcpu_flush_tlb(guest.cpu);
      guest_resume(&guest); /* and goes on from there */
      CHECK_EQ(guest_run(&guest).vector, 0x80);
      CHECK(!memcmp(guest_at(&guest, TARGET + offset), guest_at(&guest, SOURCE + offset), 0x4000));
    }
  }
  guest_free(&guest);
}

static void addressing(void) {
  struct guest guest = guest_new(AT(code_add));
  fill(&guest);
  guest_set_ring(&guest, 0);
  softcpu_state state = get(&guest);
  state.seg[SOFTCPU_FS].base = SOURCE;
  state.gpr[RSI] = 0x100;
  state.gpr[RDI] = TARGET;
  state.gpr[RCX] = 0x2000;
  state.rip = AT(code_rep_movsb_fs);
  softcpu_set_state(guest.cpu, &state);
  CHECK_EQ(guest_run(&guest).vector, 0x80);
  CHECK(!memcmp(guest_at(&guest, TARGET), guest_at(&guest, SOURCE + 0x100), 0x2000));
  fill(&guest);
  run(&guest, code_rep_movsb_32, TARGET | 1ull << 40, SOURCE | 1ull << 40, 0x1800 | 1ull << 40);
  CHECK(!memcmp(guest_at(&guest, TARGET), guest_at(&guest, SOURCE), 0x1800));
  CHECK_EQ(guest_gpr(&guest, RCX), 0);
  CHECK_EQ(guest_gpr(&guest, RDI), TARGET + 0x1800);
  guest_free(&guest);
}

/* Copied over code, and over a page table: what was made from the old contents is forgotten. */
static void over_code(void) {
  struct guest guest = guest_new(AT(code_add));
  for (uint32_t i = 1; i < 20; i++) {
    uint8_t code[] = {0xb8, (uint8_t)i, 0, 0, 0, 0xc3}; /* mov $i, %eax; ret */
    memcpy(guest_at(&guest, SOURCE), code, sizeof(code));
    run(&guest, movs[i % 2], TARGET, SOURCE, i % 2 ? 3 : 6);
    guest_set_gpr(&guest, RDI, TARGET);
    guest_run_at(&guest, code_call, 0);
    CHECK_EQ(guest_gpr(&guest, RAX), i);
  }
  guest_free(&guest);
}

static void *kick_soon(void *argument) {
  softcpu_kick(argument);
  return NULL;
}

/* A long one ends at a kick, with registers that let it go on. */
static void interrupted(void) {
  struct guest guest = guest_new(AT(code_add));
  ((uint64_t *)guest_at(&guest, GUEST_TABLES + 0x1000))[1] = (GUEST_TABLES + 0x2000) | 7;
  for (int i = 8; i < 512; i++) /* the same 2 MiB again and again */
    ((uint64_t *)guest_at(&guest, GUEST_TABLES + 0x2000))[i] = TARGET / 0x200000 * 0x200000 | 0x87;
  guest_set_gpr(&guest, RCX, 1 << 29);
  guest_set_gpr(&guest, RAX, 5);
  guest_set_ring(&guest, 0);
  guest_set_rip(&guest, AT(code_rep_stosb));
  guest_set_gpr(&guest, RDI, (1ull << 30) + (16 << 20));
  int kicks = 0;
  softcpu_exit reason;
  do {
    pthread_t thread;
    pthread_create(&thread, NULL, kick_soon, guest.cpu);
    reason = softcpu_run(guest.cpu);
    pthread_join(thread, NULL);
    softcpu_clear_kick(guest.cpu);
    CHECK_EQ(guest_gpr(&guest, RDI) + guest_gpr(&guest, RCX), (1ull << 30) + (16 << 20) + (1 << 29));
    if (guest_gpr(&guest, RCX)) CHECK_EQ(guest_rip(&guest), AT(code_rep_stosb));
    kicks++;
  } while (reason == SOFTCPU_EXIT_KICK && kicks < 100000);
  CHECK_EQ(reason, SOFTCPU_EXIT_PORT);
  guest_free(&guest);
}

const struct test string_tests[] = {
    {"strings: like the model", like_the_model}, {"strings: faults in the middle", faults_in_the_middle},
    {"strings: addressing", addressing},         {"strings: over code", over_code},
    {"strings: interrupted", interrupted},       {0},
};
