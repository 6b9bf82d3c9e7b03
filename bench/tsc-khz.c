/* Prints the frequency of the time stamp counter in kHz. QEMU's guests see the host's counter, and
 * calibrating it under a busy host costs them time or fails. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static double now_ms(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec * 1e3 + (double)at.tv_nsec / 1e6;
}

int main(void) {
  const double start_ms = now_ms();
  const uint64_t start = __rdtsc();
  while (now_ms() - start_ms < 200)
    continue;
  printf("%.0f\n", (double)(__rdtsc() - start) / (now_ms() - start_ms));
  return 0;
}
