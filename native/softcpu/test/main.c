/* Runs the tests whose names begin with an argument, or all. Status 1 when one has failed. */
#include "harness.h"

#include <string.h>
#include <time.h>

static bool wanted(const char *name, int count, char **prefixes) {
  for (int i = 1; i < count; i++)
    if (!strncmp(name, prefixes[i], strlen(prefixes[i]))) return true;
  return count <= 1;
}

int main(int argc, char **argv) {
  const struct test *tables[] = {exception_tests, interrupt_tests, system_tests, debug_tests,
                                 memory_tests,    jump_tests,      string_tests, life_tests,
                                 sibling_tests,   barrier_tests,   hostile_tests};
  int passed = 0, failed = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
    for (const struct test *test = tables[i]; test->name; test++) {
      if (!wanted(test->name, argc, argv)) continue;
      int before = failures;
      struct timespec start, end;
      clock_gettime(CLOCK_MONOTONIC, &start);
      test->run();
      clock_gettime(CLOCK_MONOTONIC, &end);
      bool ok = failures == before;
      printf("%s %s (%.0f ms)\n", ok ? "ok" : "FAIL", test->name,
             (end.tv_sec - start.tv_sec) * 1e3 + (end.tv_nsec - start.tv_nsec) / 1e6);
      passed += ok;
      failed += !ok;
    }
  }
  printf("%d passed, %d failed\n", passed, failed);
  return failed || !passed;
}
