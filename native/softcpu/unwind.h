/* From a host address inside of a block to the guest instruction that it
 * belongs to. */
#ifndef SOFTCPU_UNWIND_H
#define SOFTCPU_UNWIND_H

#include "engine.h"

/* Writes the table of a block that was just translated. Its length, or -1 when
 * it would pass `limit`. */
int unwind_encode(TranslationBlock *tb, uint8_t *table, const uint8_t *limit);

#endif
