/* Guest memory: see exec/memory.h. */
