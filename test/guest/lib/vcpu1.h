/* A second vCPU, of the tests called smp-*: it has no events, and the first one's entries for traps. */
#ifndef LIB_VCPU1_H
#define LIB_VCPU1_H

#include "test.h"

void start_vcpu1(void (*fn)(void));
/* Until its runstate is RUNSTATE_*. */
void await_runstate(unsigned state);

/* Spins until a word that the other vCPU writes has the value. */
static inline void wait_until(volatile unsigned *word, unsigned value) {
  while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value)
    asm volatile("pause");
}

#endif
