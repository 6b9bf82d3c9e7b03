#include "random.h"
#include "test.h"

static uint64_t state = 1;

void seed_draws(uint64_t seed) {
  state = seed * 0x9e3779b97f4a7c15 + 1;
  for (unsigned i = 0; i < 8; i++)
    draw();
}

/* xorshift64* */
uint64_t draw(void) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1d;
}

ulong below(ulong limit) {
  return (draw() >> 16) % limit;
}

bool one_in(ulong n) {
  return below(n) == 0;
}

ulong setting(const char *name, ulong otherwise) {
  size_t length = strlen(name);
  for (const char *at = (const char *)start_info->cmd_line; *at; at++) {
    if (memcmp(at, name, length)) continue;
    ulong number = 0;
    for (at += length; *at >= '0' && *at <= '9'; at++)
      number = number * 10 + (ulong)(*at - '0');
    return number;
  }
  return otherwise;
}
