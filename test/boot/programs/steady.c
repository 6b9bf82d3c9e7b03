/*
 * Computes the same things again and again in several threads, and says so once a round: memory, x87, SSE,
 * and clocks that never go back. Whatever comes out otherwise than in the first round is said, and ends it.
 *   steady THREADS
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

enum { WORDS = 1 << 18, FLOAT_STEPS = 40000, MAX_THREADS = 16 };

static void wrong(const char *what) {
  printf("WRONG %s\n", what);
  fflush(stdout);
  exit(1);
}

static uint64_t next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  return *state ^= *state << 17;
}

static uint64_t sum(const uint64_t *words) {
  uint64_t total = 0;
  for (int i = 0; i < WORDS; i++)
    total = (total << 1 | total >> 63) ^ words[i];
  return total;
}

/* Both chains live in registers for all of it. */
static void floats(double *sse, long double *x87) {
  double a = 1.5;
  long double b = 0.75L;
  for (int i = 0; i < FLOAT_STEPS; i++) {
    a = a * 1.0000001 + 1.0 / (i + 1);
    b = b * 0.9999999L + 1.0L / (i + 3);
  }
  *sse = a;
  *x87 = b;
}

static void check_clocks(struct timespec *time, uint64_t *tsc) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (now.tv_sec < time->tv_sec || (now.tv_sec == time->tv_sec && now.tv_nsec < time->tv_nsec))
    wrong("the time went back");
  *time = now;
  /* Of one CPU at a time: they need not agree to the tick. */
  uint64_t ticks = __rdtsc(), slack = 1000000;
  if (ticks + slack < *tsc) wrong("the TSC went back");
  *tsc = ticks;
}

static void *work(void *argument) {
  int talks = *(int *)argument == 0;
  uint64_t *words = malloc(WORDS * sizeof *words), seed = 88172645463325252u + *(int *)argument, tsc = 0;
  double sse, first_sse;
  long double x87, first_x87;
  struct timespec time = {0};
  floats(&first_sse, &first_x87);
  for (int round = 1;; round++) {
    uint64_t written = 0;
    for (int i = 0; i < WORDS; i++) {
      words[i] = next(&seed);
      written = (written << 1 | written >> 63) ^ words[i];
    }
    floats(&sse, &x87);
    if (memcmp(&sse, &first_sse, sizeof sse)) wrong("SSE");
    if (memcmp(&x87, &first_x87, 10)) wrong("x87");
    if (sum(words) != written) wrong("memory");
    check_clocks(&time, &tsc);
    if (talks) {
      printf("steady %d\n", round);
      fflush(stdout);
    }
  }
  return NULL;
}

int main(int argc, char **argv) {
  static int numbers[MAX_THREADS];
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  pthread_t thread;
  if (threads < 1 || threads > MAX_THREADS) return 2;
  for (int i = 0; i < threads; i++) {
    numbers[i] = i;
    if (i > 0) pthread_create(&thread, NULL, work, &numbers[i]);
  }
  work(&numbers[0]);
}
