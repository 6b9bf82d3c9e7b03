#ifndef BREAKER_H
#define BREAKER_H

#include "random.h"

/* places.c: what the hypervisor and the monitor read, and numbers that mean something to them. It knows the
 * monitor's own header, which does not go together with the test library's. */
extern ulong nr_vcpus;
ulong any_place(ulong nr_pages, ulong l4_mfn);
uint64_t any_value(void);

/* main.c */
void any_call(void);

/* others.c: vCPUs beside the first one, that do the like until the domain ends. */
void start_others(void);

/* ring0.c: does something that only ring 0 may do. The gate there has to be there first. */
void open_ring0(void);
void enter_ring0(ulong unused);
/* Only the exit, which ring 1 may not make. */
void exit_from_ring1(ulong unused);

#endif
