/*
 * What a test kernel is made of. Each test is one test_main() and one test_title; it prints facts, which
 * expected.txt holds as real Xen gave them, and fails on a rule that does not hold: Error    the test itself
 * is broken          Failure  the hypervisor under the test is wrong The last line is "Test result:
 * SUCCESS|FAILURE|ERROR|SKIP", then the domain powers off.
 */
#ifndef LIB_TEST_H
#define LIB_TEST_H

#include "hypercall.h"
#include "mm.h"
#include "trap.h"

#define PRINTF_LIKE(a, b) __attribute__((format(printf, a, b)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

extern const char test_title[];
void test_main(void);

extern start_info_t *start_info;
extern shared_info_t *shared_info;

/* One line (a newline is added), through HYPERVISOR_console_io alone: dom0 and a domU show the same. */
void print(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Prints "Fail: ..."; the test goes on and ends as FAILURE. */
void fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Prints "Error: ..." and ends the test at once. */
void error(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));
/* Prints why the test cannot run here and ends it as SKIP. */
void skip(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));
int format(char *out, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* "0", "12", "-EINVAL". */
const char *errno_name(long rc);

/* Prints "name: -EINVAL"; what it has to be is in expected.txt. */
void say_rc(const char *name, long rc);
/* Each prints "name: got" and fails when it is not what Xen's rule says. */
void expect(const char *name, uint64_t got, uint64_t want);
void expect_hex(const char *name, uint64_t got, uint64_t want);
void expect_rc(const char *name, long got, long want);
/* Silent when true. */
#define check(condition, ...)                                                                                \
  do {                                                                                                       \
    if (!(condition)) fail(__VA_ARGS__);                                                                     \
  } while (0)

/* The test is broken unless the hypercall succeeds: for what a test needs but does not check. */
void must(const char *what, long rc);

/* Prints the result and ends the domain with a SHUTDOWN_* reason; test_main() returning means poweroff. */
void finish(unsigned reason) __attribute__((noreturn));
void shutdown(unsigned reason) __attribute__((noreturn));

void *memset(void *to, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

static inline uint64_t rdtsc(void) {
  uint32_t low, high;
  asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return low | (uint64_t)high << 32;
}

#endif
