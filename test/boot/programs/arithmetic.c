/*
 * Integer, SSE and x87 arithmetic to the last bit, and string instructions in both directions. No libm: it
 * chooses its routines by the CPU it finds, and those differ in the last digit.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint64_t state = 88172645463325252u;
static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static uint64_t mix(uint64_t sum, const void *data, size_t bytes) {
  const unsigned char *at = data;
  while (bytes--)
    sum = (sum ^ *at++) * 1099511628211u;
  return sum;
}

static void integers(void) {
  uint64_t sum = 0;
  for (int i = 0; i < 200000; i++) {
    uint64_t a = next(), b = next() | 1, flags;
    unsigned __int128 product = (unsigned __int128)a * b;
    sum += (uint64_t)product ^ (uint64_t)(product >> 64);
    sum += a / b + a % b + (uint64_t)((int64_t)a / (int64_t)(b | 2)) + ((a << (b & 63)) | (a >> (-b & 63)));
    __asm__ volatile("add %1, %0; pushf; pop %2" : "+r"(a), "+r"(b), "=r"(flags) : : "cc");
    sum = sum * 31 + (flags & 0x8d5);
    __asm__ volatile("shrd %%cl, %1, %0; rcl $3, %0; bsf %1, %2"
                     : "+r"(a), "+r"(b), "=r"(flags)
                     : "c"(i)
                     : "cc");
    sum = sum * 31 + a + flags + (uint64_t)__builtin_bswap64(b) + (uint64_t)__builtin_popcountll(a);
  }
  printf("integers %016lx\n", sum);
}

static void floats(void) {
  uint64_t sum = 0;
  double value = 1.5;
  float single = 1.25f;
  long double extended = 1.75L;
  for (int i = 0; i < 200000; i++) {
    uint64_t bits = (next() >> 12) | 0x3ff0000000000000u;
    double random;
    memcpy(&random, &bits, 8);
    value = value / random + random * random - __builtin_sqrt(random);
    single = single * (float)random - 0.5f / (float)random;
    extended = extended / random + random * 0.1L;
    if (i % 100 == 0) single = 1.25f;
    sum = mix(sum, &value, 8);
    sum = mix(sum, &single, 4);
    sum = mix(sum, &extended, 10);
    sum += (uint64_t)(int64_t)value + (uint64_t)(int64_t)extended;
  }
  printf("floats %016lx %a %La\n", sum, value, extended);
}

static void strings(void) {
  static unsigned char buffer[70000];
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof(buffer); i++)
    buffer[i] = (unsigned char)next();
  for (int i = 0; i < 200; i++) {
    void *from = buffer + next() % 30000, *to = buffer + next() % 30000;
    size_t count = next() % 20000;
    if (i & 1) {
      from = (char *)from + count, to = (char *)to + count;
      __asm__ volatile("std; rep movsb; cld" : "+S"(from), "+D"(to), "+c"(count)::"memory", "cc");
    } else {
      __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count)::"memory");
    }
    void *scan = buffer;
    size_t left = sizeof(buffer);
    __asm__ volatile("repne scasb" : "+D"(scan), "+c"(left) : "a"(i) : "memory", "cc");
    sum = mix(sum, buffer, sizeof(buffer)) + left;
  }
  printf("strings %016lx\n", sum);
}

int main(void) {
  integers();
  floats();
  strings();
  return 0;
}
