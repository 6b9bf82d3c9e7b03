/* Time as vcpu_time_info gives it, and events in the simplest form: which ports were pending. */
#ifndef LIB_TIME_H
#define LIB_TIME_H

#include "test.h"

#define MS 1000000ul

/* Nanoseconds since Xen started, by the version protocol of vcpu_time_info. */
uint64_t system_time(void);

unsigned bind_virq(unsigned virq);
/* Two bound ends in this domain; neither is pending. */
void bind_loopback(unsigned *near, unsigned *far);
long send_event(unsigned port);
bool event_pending(unsigned port);
void clear_event(unsigned port);
void mask_event(unsigned port, bool masked);
uint8_t *upcall_mask(void);

/* upcall_hook that acknowledges everything and counts. */
void count_upcalls(struct regs *regs);
extern volatile unsigned upcalls;

#endif
