/*
 * One of several programs that hold different code at the same addresses (static, not position-independent,
 * built with another VARIANT each). Run in turn, each lands in memory that held another's code: a CPU that
 * translates code must notice. Also rewrites code of its own while it runs.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define REPEAT2(x) x x
#define REPEAT8(x) REPEAT2(REPEAT2(REPEAT2(x)))

static uint64_t value = VARIANT;

/* Different lengths push everything behind it to different addresses. */
__attribute__((noinline)) static void step(void) {
#if VARIANT & 1
  REPEAT8(value = value * 3 + VARIANT;)
#endif
#if VARIANT & 2
  REPEAT8(value ^= value >> (VARIANT + 1);)
#endif
#if VARIANT & 4
  REPEAT8(value = (value << 7 | value >> 57) - VARIANT;)
#endif
  value += VARIANT * 1000003u;
}

/* "mov $n, %eax; ret" with a new n each time, on a page that stays both writable and executable. */
static uint64_t rewritten(void) {
  unsigned char code[6] = {0xb8, 0, 0, 0, 0, 0xc3};
  unsigned char *page =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < 100; i++) {
    uint32_t number = i * VARIANT;
    memcpy(code + 1, &number, 4);
    memcpy(page + (i & 3), code, sizeof(code));
    sum = sum * 5 + ((uint32_t(*)(void))(page + (i & 3)))();
  }
  return sum;
}

int main(void) {
  for (int i = 0; i < 1000; i++)
    step();
  printf("variant %d: %016lx %016lx\n", VARIANT, value, rewritten());
  return 0;
}
