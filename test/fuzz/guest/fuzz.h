/*
 * A kernel that makes random hypercalls. Two manners:
 *   careful   keeps away from what would end it, so that it lives to make all the calls that it was asked for
 *   wild      keeps away from nothing but shutting down: it may destroy itself at any call
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "random.h"
#include "test.h"

#define NR_ARENA 48

struct call {
  ulong nr;
  ulong args[5];
};

extern bool wild, steady;

/* draw.c: values of a kind */
ulong small(void);
/* Anything. When careful it is no frame and no address that the kernel lives in. */
ulong value(void);
/* The same, or when careful and it would name what the kernel lives in, something else. */
ulong safe(ulong v);
/* For a hypercall to read from, or to write to where that is possible. */
ulong pointer(void);
/* The same, but when careful nothing to read from: in page tables, addresses and entries of the kernel's
 * stand side by side, as mmu_update takes them. */
ulong list_pointer(void);
/* A linear address to map something at. */
ulong window(void);
/* Frames: to do anything to; the same and those that the kernel lives in, which can only be looked at; to
 * copy from. */
ulong frame(void);
ulong any_frame(void);
ulong source_frame(void);
ulong domid(void);
/* Entries of an L1, and of higher tables. */
uint64_t l1_value(void);
uint64_t table_value(void);
/* Machine address of an entry. */
ulong entry_address(void);

/* arena.c: the memory that calls work on */
extern uint8_t arena[NR_ARENA + 1][PAGE_SIZE];
extern ulong own_domid, alternate_l4;
void arena_init(void);
/* Forgets the structures of the last call. */
void begin_call(void);
/* Room for one argument, full of values; now and then right before the end of what is mapped. */
void *structure(size_t size);
/* Where a hypercall may write what it likes. */
ulong answer_room(void);
ulong answer_room_end(void);
bool is_critical(ulong mfn);
uint64_t *scratch_entries(void);
/* Gives a page of the arena new contents, as a table or as anything, and a new grant entry. */
void refill(void);
void check_kernel(void);
/* A digest with something more in it: a word, the structures of this call, all that calls may write to. */
#define DIGEST_OF_NOTHING 0xcbf29ce484222325ul
static inline uint64_t digest_word(uint64_t digest, uint64_t word) {
  return (digest ^ word) * 0x100000001b3;
}
uint64_t digest_arguments(uint64_t digest);
uint64_t digest_memory(uint64_t digest);

/* calls.c, tables.c */
void draw_call(struct call *call);
void draw_single(struct call *call, ulong nr);
void draw_mmu_update(struct call *call);
void draw_mmuext_op(struct call *call);
void draw_update_va_mapping(struct call *call);
void draw_grant_table_op(struct call *call);
void draw_memory_op(struct call *call);

/* main.c */
ulong now(void);
void attempt(void (*fn)(ulong), ulong arg);

#endif
