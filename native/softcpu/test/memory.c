/* Paging, and translated code that must not outlive what it was made from. */
#include "harness.h"

#include <string.h>

LABEL(code_add);
LABEL(code_read);
LABEL(code_write);
LABEL(code_jump);
LABEL(code_patch_itself);
LABEL(code_patch_loop);
LABEL(code_remap);
LABEL(code_call);
LABEL(code_mov_cr3);

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40 };

static softcpu_state get(struct guest *guest) {
  softcpu_state state;
  softcpu_get_state(guest->cpu, &state);
  return state;
}

static uint64_t call(struct guest *guest, uint64_t function) {
  guest_set_gpr(guest, RDI, function);
  CHECK_EQ(guest_run_at(guest, code_call, 0).vector, NO_VECTOR);
  return guest_gpr(guest, RAX);
}

/* Ring 1 is a supervisor to the page tables; CR0.WP decides what a supervisor may write. */
static void supervisor(void) {
  struct guest guest = guest_new(AT(code_add));
  *guest_pte(&guest, FREE) = FREE | P | W;
  *guest_pte(&guest, FREE + 0x1000) = (FREE + 0x1000) | P | U;
  softcpu_flush_tlb(guest.cpu);
  for (int ring = 0; ring <= 1; ring++) {
    for (int wp = 1; wp >= 0; wp--) {
      softcpu_state state = get(&guest);
      state.cr0 = wp ? state.cr0 | 1 << 16 : state.cr0 & ~(1ull << 16);
      softcpu_set_state(guest.cpu, &state);
      guest_set_gpr(&guest, RDI, FREE);
      struct frame frame = guest_run_at(&guest, code_read, ring);
      CHECK_EQ(frame.vector, ring ? 13 : NO_VECTOR); /* in ring 1 it gets as far as its OUT */
      CHECK_EQ(frame.rip, AT(code_read) + (ring ? 3 : 5));
      guest_set_gpr(&guest, RDI, FREE + 0x1000);
      frame = guest_run_at(&guest, code_write, ring);
      CHECK_EQ(frame.vector, wp ? 14 : ring ? 13 : NO_VECTOR);
    }
  }
  guest_free(&guest);
}

static void accessed_and_dirty(void) {
  struct guest guest = guest_new(AT(code_add));
  *guest_pte(&guest, FREE) = FREE | P | W | U;
  softcpu_flush_tlb(guest.cpu);
  guest_set_gpr(&guest, RDI, FREE);
  guest_run_at(&guest, code_read, 3);
  CHECK_EQ(*guest_pte(&guest, FREE), FREE | P | W | U | A);
  guest_run_at(&guest, code_write, 3);
  CHECK_EQ(*guest_pte(&guest, FREE), FREE | P | W | U | A | D);
  guest_free(&guest);
}

/* Pages of 2 MiB and 1 GiB, and a change of their mapping with invlpg. */
static void large_pages(void) {
  struct guest guest = guest_new(AT(code_add));
  uint64_t *pml4 = guest_at(&guest, GUEST_TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512;
  *(uint64_t *)guest_at(&guest, FREE + 8) = 0x1111;
  *(uint64_t *)guest_at(&guest, FREE + 0x200000 + 8) = 0x2222;
  pd[100] = FREE | 0x80 | P | W | U;
  pdpt[4] = 0 | 0x80 | P | W | U;
  softcpu_flush_tlb(guest.cpu);
  guest_set_gpr(&guest, RDI, 100ull << 21 | 8);
  guest_run_at(&guest, code_read, 0);
  CHECK_EQ(guest_gpr(&guest, RAX), 0x1111);
  guest_set_gpr(&guest, RDI, (4ull << 30) + FREE + 0x200000 + 8);
  guest_run_at(&guest, code_read, 0);
  CHECK_EQ(guest_gpr(&guest, RAX), 0x2222);
  pd[100] = (FREE + 0x200000) | 0x80 | P | W | U;
  softcpu_invlpg(guest.cpu, 100ull << 21 | 0x5000);
  guest_set_gpr(&guest, RDI, 100ull << 21 | 8);
  guest_run_at(&guest, code_read, 0);
  CHECK_EQ(guest_gpr(&guest, RAX), 0x2222);
  guest_free(&guest);
}

/* A translation stays until it is flushed: from outside, by CR3, by the caller's state. */
static void tlb_flushes(void) {
  struct guest guest = guest_new(AT(code_add));
  for (int how = 0; how < 4; how++) {
    uint64_t page = FREE + how * 0x10000;
    *(uint64_t *)guest_at(&guest, page) = 1;
    *(uint64_t *)guest_at(&guest, page + 0x1000) = 2;
    guest_set_gpr(&guest, RDI, page);
    guest_run_at(&guest, code_read, 0);
    CHECK_EQ(guest_gpr(&guest, RAX), 1);
    *guest_pte(&guest, page) = (page + 0x1000) | P | W | U;
    if (how == 0) softcpu_flush_tlb(guest.cpu);
    if (how == 1) softcpu_invlpg(guest.cpu, page);
    if (how == 2) {
      softcpu_state state = get(&guest);
      CHECK(softcpu_set_state(guest.cpu, &state));
    }
    if (how == 3) {
      softcpu_state state = get(&guest);
      state.rip = AT(code_mov_cr3);
      softcpu_set_state(guest.cpu, &state);
      guest_run(&guest); /* falls into what follows it: wrmsr of a random MSR, which faults */
    }
    guest_set_gpr(&guest, RDI, page);
    guest_run_at(&guest, code_read, 0);
    CHECK_EQ(guest_gpr(&guest, RAX), 2);
  }
  guest_free(&guest);
}

static uint64_t read_at(struct guest *guest, uint64_t address) {
  guest_set_gpr(guest, RDI, address);
  guest_run_at(guest, code_read, 0);
  return guest_gpr(guest, RAX);
}

/* Every page of RAM by two addresses, as many as the TLB has room for: a flush drops them all, invlpg the
 * one. */
static void many_pages(void) {
  struct guest guest = guest_new(AT(code_add));
  uint64_t *pml4 = guest_at(&guest, GUEST_TABLES), high = 1ull << 40;
  uint64_t from = FREE, to = FREE + 0x1000;
  pml4[high >> 39] = pml4[0];
  *(uint64_t *)guest_at(&guest, from) = 1;
  *(uint64_t *)guest_at(&guest, to) = 2;
  for (int how = 0; how < 2; how++) {
    *guest_pte(&guest, from) = from | P | W | U;
    softcpu_flush_tlb(guest.cpu);
    for (uint64_t page = 0; page < RAM_BYTES; page += 4096) {
      read_at(&guest, page);
      read_at(&guest, high | page);
    }
    CHECK_EQ(read_at(&guest, from), 1);
    CHECK_EQ(read_at(&guest, high | from), 1);
    *guest_pte(&guest, from) = to | P | W | U;
    if (how)
      softcpu_flush_tlb(guest.cpu);
    else
      softcpu_invlpg(guest.cpu, from), softcpu_invlpg(guest.cpu, high | from);
    CHECK_EQ(read_at(&guest, from), 2);
    CHECK_EQ(read_at(&guest, high | from), 2);
  }
  guest_free(&guest);
}

/* x86 needs no barrier between a store to code and running it. */
static void self_modifying(void) {
  struct guest guest = guest_new(AT(code_add));
  for (int ring = 0; ring <= 1; ring++) {
    struct frame frame = guest_run_at(&guest, code_patch_itself, 0);
    CHECK_EQ(frame.vector, NO_VECTOR);
    CHECK_EQ(guest_gpr(&guest, RAX), 7);
  }
  guest_set_gpr(&guest, RCX, 255);
  guest_run_at(&guest, code_patch_loop, 0);
  CHECK_EQ(guest_gpr(&guest, RBX), 255 * 256 / 2);
  guest_free(&guest);
}

/* The same virtual address, another page: with invlpg by the guest, and with its page tables changed from
 * outside. */
static void remapped_code(void) {
  struct guest guest = guest_new(AT(code_add));
  put_function(&guest, FREE, 11);
  put_function(&guest, FREE + 0x1000, 22);
  guest_set_gpr(&guest, RDI, FREE);
  guest_set_gpr(&guest, RSI, (uint64_t)((uint8_t *)guest_pte(&guest, FREE) - guest.ram));
  guest_set_gpr(&guest, RDX, (FREE + 0x1000) | P | W | U);
  guest_run_at(&guest, code_remap, 0);
  CHECK_EQ(guest_gpr(&guest, RBX), 11);
  CHECK_EQ(guest_gpr(&guest, RAX), 22);
  for (int i = 0; i < 50; i++) {
    *guest_pte(&guest, FREE) = (FREE + (i & 1) * 0x1000) | P | W | U;
    softcpu_flush_tlb(guest.cpu);
    CHECK_EQ(call(&guest, FREE), i & 1 ? 22 : 11);
  }
  guest_free(&guest);
}

/* One page at several addresses: a store by one is seen when it is run by the other. */
static void aliased_code(void) {
  struct guest guest = guest_new(AT(code_add));
  uint64_t alias = FREE + 0x10000;
  *guest_pte(&guest, alias) = FREE | P | W | U;
  put_function(&guest, FREE, 1);
  CHECK_EQ(call(&guest, FREE), 1);
  CHECK_EQ(call(&guest, alias), 1);
  for (uint64_t i = 2; i < 20; i++) {
    guest_set_gpr(&guest, RDI, (i & 1 ? alias : FREE) + 1);
    guest_set_gpr(&guest, RAX, i);
    guest_run_at(&guest, code_write, 0);
    CHECK_EQ(call(&guest, FREE), i);
    CHECK_EQ(call(&guest, alias), i);
  }
  guest_free(&guest);
}

/* Code over a page boundary: either page changes, or the second one is mapped to another page. */
static void code_over_two_pages(void) {
  struct guest guest = guest_new(AT(code_add));
  uint64_t function =
      FREE + 0x1000 - 3; /* three bytes in the first page, the constant's rest in the second */
  put_function(&guest, function, 0x01020304);
  memcpy(guest_at(&guest, FREE + 0x5000), guest_at(&guest, FREE + 0x1000), 0x1000);
  *(uint8_t *)guest_at(&guest, FREE + 0x5000 + 1) = 0x99; /* the constant's highest byte there */
  CHECK_EQ(call(&guest, function), 0x01020304);
  *guest_pte(&guest, FREE + 0x1000) = (FREE + 0x5000) | P | W | U;
  softcpu_flush_tlb(guest.cpu);
  CHECK_EQ(call(&guest, function), 0x99020304);
  *guest_pte(&guest, FREE + 0x1000) = (FREE + 0x1000) | P | W | U;
  softcpu_flush_tlb(guest.cpu);
  CHECK_EQ(call(&guest, function), 0x01020304);
  guest_set_gpr(&guest, RDI, FREE + 0x1000);
  guest_set_gpr(&guest, RAX, 0xc30a0b);
  guest_run_at(&guest, code_write, 0);
  CHECK_EQ(call(&guest, function), 0x0a0b0304);
  *guest_pte(&guest, FREE + 0x1000) = 0;
  softcpu_flush_tlb(guest.cpu);
  guest_set_gpr(&guest, RDI, function);
  struct frame frame = guest_run_at(&guest, code_jump, 0);
  CHECK_EQ(frame.vector, 14);
  CHECK_EQ(frame.rip, function);
  CHECK_EQ(get(&guest).cr2, FREE + 0x1000);
  guest_free(&guest);
}

/* The caller writes guest memory and says so. */
static void host_writes(void) {
  struct guest guest = guest_new(AT(code_add));
  for (uint32_t i = 0; i < 100; i++) {
    uint64_t page = FREE + (i % 3) * 0x1000;
    put_function(&guest, page, i);
    softcpu_invalidate(guest.cpu, page, 6);
    CHECK_EQ(call(&guest, page), i);
  }
  put_function(&guest, FREE, 5);
  put_function(&guest, FREE + 0x2000, 6);
  softcpu_invalidate(guest.cpu, FREE - 0x1000, 1 << 20);
  CHECK_EQ(call(&guest, FREE), 5);
  CHECK_EQ(call(&guest, FREE + 0x2000), 6);
  softcpu_invalidate(guest.cpu, RAM_BYTES - 1, UINT64_MAX);
  softcpu_invalidate(guest.cpu, UINT64_MAX, UINT64_MAX);
  softcpu_invalidate(guest.cpu, FREE, 0);
  guest_free(&guest);
}

/* Another thread that writes guest memory finds marked what may have been translated, and nothing else. */
static void marks(void) {
  static uint8_t marks[RAM_BYTES >> 12];
  struct guest guest = guest_new_marked(AT(code_add), marks);
  uint64_t function = FREE + 0x1000 - 3; /* in two pages */
  put_function(&guest, function, 0x01020304);
  put_function(&guest, FREE + 0x2000, 1);
  CHECK_EQ(call(&guest, function), 0x01020304);
  CHECK(marks[FREE >> 12] && marks[(FREE >> 12) + 1] && !marks[(FREE >> 12) + 2]);
  softcpu_invalidate(guest.cpu, FREE, 16); /* the function's other end keeps the page's mark */
  CHECK(marks[FREE >> 12]);
  softcpu_invalidate(guest.cpu, FREE, 0x1000);
  CHECK(!marks[FREE >> 12] && marks[(FREE >> 12) + 1]);
  put_function(&guest, function, 0x05060304);
  softcpu_invalidate(guest.cpu, FREE + 0x1000, 0x1000);
  CHECK(!marks[(FREE >> 12) + 1]);
  CHECK_EQ(call(&guest, function), 0x05060304);
  CHECK(marks[FREE >> 12] && marks[(FREE >> 12) + 1]);
  guest_free(&guest);
}

/* More code than the buffer holds: everything is dropped now and then, and all goes on. */
static void full_code_buffer(void) {
  struct guest guest = guest_new(AT(code_add));
  for (int round = 0; round < 3; round++) {
    for (uint64_t at = FREE; at + 0x1000 < RAM_BYTES; at += 0x40) {
      if (!round) put_function(&guest, at, (uint32_t)at);
      guest_set_gpr(&guest, RDI, at);
      if (at == FREE) guest_set_rip(&guest, AT(code_call));
      if (softcpu_run(guest.cpu) != SOFTCPU_EXIT_PORT || guest_gpr(&guest, RAX) != at) {
        CHECK_EQ(guest_gpr(&guest, RAX), at);
        break;
      }
    }
  }
  guest_free(&guest);
}

/* Beyond RAM: reads give ones, writes are lost, code is an undefined opcode, and a page table gives a
 * reserved bit. */
static void beyond_memory(void) {
  struct guest guest = guest_new(AT(code_add));
  uint64_t *pml4 = guest_at(&guest, GUEST_TABLES), *pdpt = pml4 + 512;
  *guest_pte(&guest, FREE) = (1ull << 36) | P | W | U;
  *guest_pte(&guest, FREE + 0x2000) = RAM_BYTES | P | W | U;
  pdpt[7] = (1ull << 37) | P | W | U;
  softcpu_flush_tlb(guest.cpu);
  for (uint64_t page = FREE; page <= FREE + 0x2000; page += 0x2000) {
    guest_set_gpr(&guest, RDI, page);
    guest_set_gpr(&guest, RAX, 0x1234);
    CHECK_EQ(guest_run_at(&guest, code_write, 0).vector, NO_VECTOR);
    CHECK_EQ(guest_run_at(&guest, code_read, 0).vector, NO_VECTOR);
    CHECK_EQ(guest_gpr(&guest, RAX), UINT64_MAX);
    CHECK_EQ(guest_run_at(&guest, code_jump, 0).vector, 6);
  }
  /* Code that runs into it. */
  *guest_pte(&guest, FREE + 0x1000) = (FREE + 0x1000) | P | W | U;
  put_function(&guest, FREE + 0x2000 - 3, 0);
  guest_set_gpr(&guest, RDI, FREE + 0x2000 - 3);
  CHECK_EQ(guest_run_at(&guest, code_jump, 0).vector, 6);
  guest_set_gpr(&guest, RDI, 7ull << 30);
  struct frame frame = guest_run_at(&guest, code_read, 0);
  CHECK_EQ(frame.vector, 14);
  CHECK_EQ(frame.error, 9);
  guest_free(&guest);
}

const struct test memory_tests[] = {
    {"memory: supervisor and WP", supervisor},
    {"memory: accessed and dirty bits", accessed_and_dirty},
    {"memory: large pages", large_pages},
    {"memory: TLB flushes", tlb_flushes},
    {"memory: many pages", many_pages},
    {"memory: self-modifying code", self_modifying},
    {"memory: remapped code", remapped_code},
    {"memory: aliased code", aliased_code},
    {"memory: code over two pages", code_over_two_pages},
    {"memory: the host writes code", host_writes},
    {"memory: marks of pages with code", marks},
    {"memory: a full code buffer", full_code_buffer},
    {"memory: beyond RAM", beyond_memory},
    {0},
};
