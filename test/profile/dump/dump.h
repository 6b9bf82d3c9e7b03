/* Everything that a guest can find out about the machine that it is on, as lines of text. */
#ifndef DUMP_H
#define DUMP_H

#include "test.h"

void dump_cpuid(void);
void dump_registers(void);
void dump_version(void);
void dump_start_of_day(void);
void dump_memory(void);
void dump_limits(void);
void dump_hypercalls(void);

#endif
