/* Numbers at random, the same for the same seed, and settings from the command line. Needs nothing else of
 * the library. */
#ifndef LIB_RANDOM_H
#define LIB_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef unsigned long ulong;

#define PICK(array) ((array)[below(sizeof(array) / sizeof((array)[0]))])

void seed_draws(uint64_t seed);
uint64_t draw(void);
/* 0 to limit - 1 */
ulong below(ulong limit);
bool one_in(ulong n);

/* The number after a word such as "seed=" of the command line. */
ulong setting(const char *name, ulong otherwise);

#endif
