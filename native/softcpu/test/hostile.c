/* Whatever a guest does, softcpu_run() comes back when it is kicked. */
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

LABEL(code_ud2);
LABEL(code_add);

static struct guest *kicked;

static void on_alarm(int signal) {
  softcpu_kick(kicked->cpu);
}

static uint64_t random_state;

static uint64_t random_bits(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

/* Opcodes that make random bytes more interesting than faults. */
static void put_random_code(struct guest *guest, uint64_t at, int bytes) {
  static const uint8_t likely[] = {0x0f, 0x66, 0xf2, 0xf3, 0x48, 0x4c, 0xf0, 0x64,
                                   0x65, 0x00, 0x01, 0xc5, 0xc4, 0x8e, 0xcf, 0x9d};
  uint8_t *code = guest_at(guest, at);
  for (int i = 0; i < bytes; i++)
    code[i] = random_bits() % 3 ? (uint8_t)random_bits() : likely[random_bits() % sizeof(likely)];
  softcpu_invalidate(guest->cpu, at, bytes);
}

static void random_start(struct guest *guest) {
  softcpu_state state;
  softcpu_get_state(guest->cpu, &state);
  for (int i = 0; i < 16; i++)
    state.gpr[i] = i == RSP            ? STACK_IST2
                   : random_bits() % 4 ? FREE + random_bits() % 0x400000
                                       : random_bits();
  state.rip = FREE;
  state.rflags = 2;
  softcpu_set_state(guest->cpu, &state);
}

static void rebuild(struct guest *guest) {
  guest_free(guest);
  *guest = guest_new(AT(code_ud2));
}

static void random_code(void) {
  struct guest guest = guest_new(AT(code_ud2));
  const struct itimerval every = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  uint64_t exits[6] = {0};
  const char *rounds = getenv("SOFTCPU_FUZZ_ROUNDS"), *seed = getenv("SOFTCPU_FUZZ_SEED");
  long count = rounds ? atol(rounds) : 10000;
  random_state = seed ? strtoull(seed, NULL, 0) : 88172645463325252ull;
  kicked = &guest;
  signal(SIGALRM, on_alarm);
  setitimer(ITIMER_REAL, &every, NULL);
  for (long i = 0; i < count; i++) {
    static const int rings[] = {0, 0, 1, 3};
    if (i % 500 == 499) {
      setitimer(ITIMER_REAL, &never, NULL);
      rebuild(&guest);
      setitimer(ITIMER_REAL, &every, NULL);
    }
    put_random_code(&guest, FREE, 64);
    guest_set_ring(&guest, rings[random_bits() % 4]);
    random_start(&guest);
    for (int runs = 0; runs < 3; runs++)
      exits[softcpu_run(guest.cpu)]++;
  }
  setitimer(ITIMER_REAL, &never, NULL);
  CHECK(exits[SOFTCPU_EXIT_PORT] > 0);
  CHECK_EQ(exits[SOFTCPU_EXIT_ERROR], 0);
  guest_free(&guest);
}

/* Random descriptor tables, page tables and TSS too. */
static void random_tables(void) {
  struct guest guest = guest_new(AT(code_ud2));
  const struct itimerval every = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  uint64_t exits[6] = {0};
  random_state = 0x9e3779b97f4a7c15ull;
  kicked = &guest;
  signal(SIGALRM, on_alarm);
  for (int i = 0; i < 300; i++) {
    rebuild(&guest);
    setitimer(ITIMER_REAL, &every, NULL);
    for (int n = 0; n < 40; n++) {
      static const uint64_t places[] = {GUEST_GDT,
                                        GUEST_IDT,
                                        GUEST_TSS,
                                        GUEST_LDT,
                                        GUEST_TABLES,
                                        GUEST_TABLES + 0x1000,
                                        GUEST_TABLES + 0x2000,
                                        GUEST_TABLES + 0x3000};
      uint64_t at = places[random_bits() % 8] + random_bits() % 0x200 * 8;
      ((uint8_t *)guest_at(&guest, at))[random_bits() % 8] = (uint8_t)random_bits();
    }
    for (int n = 0; n < 10; n++) {
      put_random_code(&guest, FREE, 64);
      guest_set_ring(&guest, (int[]){0, 1, 3}[random_bits() % 3]);
      random_start(&guest);
      softcpu_raise_irq(guest.cpu, (uint8_t)random_bits());
      exits[softcpu_run(guest.cpu)]++;
    }
    setitimer(ITIMER_REAL, &never, NULL);
  }
  CHECK_EQ(exits[SOFTCPU_EXIT_ERROR], 0);
  guest_free(&guest);
}

/* A state set from outside with a TSS that no LTR would have loaded. */
static void bad_task_register(void) {
  struct guest guest = guest_new(AT(code_ud2));
  for (uint32_t flags = 0; flags < 0x10000; flags += 0x100) {
    guest_set_ring(&guest, 3);
    softcpu_state state;
    softcpu_get_state(guest.cpu, &state);
    state.seg[SOFTCPU_TR].flags = flags;
    state.seg[SOFTCPU_TR].limit = flags & 0x100 ? 10 : 0x2fff;
    state.rip = AT(code_ud2);
    softcpu_set_state(guest.cpu, &state);
    softcpu_exit reason = softcpu_run(guest.cpu);
    CHECK(reason == SOFTCPU_EXIT_PORT || reason == SOFTCPU_EXIT_SHUTDOWN);
  }
  guest_free(&guest);
}

const struct test hostile_tests[] = {
    {"hostile: random code", random_code},
    {"hostile: random tables", random_tables},
    {"hostile: a task register of nonsense", bad_task_register},
    {0},
};
