/*
 * A ring's two ends: the guest writes, has a barrier, and looks; another thread does the same the other way
 * round. One of them must see what the other wrote. (A front end that misses req_event, or a back end that
 * misses req_prod, sleeps for ever: RING_PUSH_REQUESTS_AND_CHECK_NOTIFY of xen/include/public/io/ring.h.)
 */
#include "harness.h"
#include "rounds.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

enum { ROUNDS = 100000, MAX_SECONDS = 4, MAX_DELAY = 64 };

struct game {
  uint8_t *words;
  unsigned missed;
};

static uint64_t load(struct game *game, int at) {
  return __atomic_load_n((uint64_t *)(game->words + at), __ATOMIC_ACQUIRE);
}

static void store(struct game *game, int at, uint64_t value) {
  __atomic_store_n((uint64_t *)(game->words + at), value, __ATOMIC_RELEASE);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static void await(struct game *game, int at, uint64_t value) {
  for (unsigned spins = 0; load(game, at) != value; spins++)
    if (spins > 1000) sched_yield();
}

static void *other_end(void *opaque) {
  struct game *game = opaque;
  double end = seconds() + MAX_SECONDS;
  for (uint64_t round = 1; round <= ROUNDS && seconds() < end; round++) {
    await(game, READY, round);
    load(game, MY_FLAG);
    store(game, ROUND, round);
    for (volatile unsigned delay = round % MAX_DELAY; delay; delay--)
      continue;
    store(game, ITS_FLAG, round);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    bool saw = load(game, MY_FLAG) == round;
    await(game, DONE, round);
    if (!saw && load(game, SEEN) != round) game->missed++;
  }
  store(game, STOP, 1);
  return NULL;
}

static void play(const char *label) {
  struct guest guest = guest_new(AT(label));
  struct game game = {guest.ram + FREE, 0};
  guest_set_gpr(&guest, RDI, FREE);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, other_end, &game), 0);
  CHECK_EQ(guest_run_at(&guest, label, 0).vector, NO_VECTOR);
  pthread_join(thread, NULL);
  CHECK_EQ(game.missed, 0);
  guest_free(&guest);
}

#define GAMES(EACH)                                                                                          \
  EACH(mfence)                                                                                               \
  EACH(lock_add) EACH(xchg) EACH(xadd) EACH(cmpxchg) EACH(cmpxchg8b) EACH(inc) EACH(not ) EACH(neg) EACH(bts)

#define DECLARE(name)                                                                                        \
  LABEL(code_rounds_##name);                                                                                 \
  static void game_##name(void) {                                                                            \
    play(code_rounds_##name);                                                                                \
  }
GAMES(DECLARE)

#define ENTRY(name) {"barriers: " #name, game_##name},
const struct test barrier_tests[] = {GAMES(ENTRY){0}};
