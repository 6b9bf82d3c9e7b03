#ifndef USER_FUZZ_H
#define USER_FUZZ_H

#include "random.h"
#include "test.h"

#define CODE_PAGES 2
#define SLOT 16
#define NR_SLOTS (CODE_PAGES * PAGE_SIZE / SLOT)
/* What ring 3 has: code, a page of data, and nothing behind it. */
#define CODE_VA USER_SCRATCH
#define DATA_VA (USER_SCRATCH + CODE_PAGES * PAGE_SIZE)

/* code.c: fills one slot with an instruction or more; an address of some kind. */
void write_slot(uint8_t *slot);
ulong any_address(void);

/* segments.c: tables with descriptors of every kind; selectors into them and past them. */
void install_tables(void);
uint16_t any_selector(void);

#endif
