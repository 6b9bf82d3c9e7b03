/* What is remembered of jumps must not outlive the page tables that it was found by. Here a ring calls
 * functions without leaving the CPU for more than an exit, so that nothing but the instruction under test
 * makes it forget. */
#include "harness.h"

#include <string.h>

LABEL(code_add);
LABEL(code_serve_kernel);
LABEL(code_serve_user);
LABEL(code_serve_entry);
LABEL(code_serve_invlpg);

enum { P = 1, W = 2, U = 4, A = 0x20 };
#define NX (1ull << 63)

static struct guest serving_guest(const char *label, int ring) {
  struct guest guest = guest_new(AT(code_add));
  softcpu_state state;
  softcpu_get_state(guest.cpu, &state);
  state.star = (uint64_t)CS3_32 << 48 | (uint64_t)CS0 << 32;
  state.lstar = AT(code_serve_entry);
  softcpu_set_state(guest.cpu, &state);
  guest_run_at(&guest, label, ring);
  return guest;
}

static uint64_t result(struct guest *guest) {
  return guest_run(guest).vector == 14 ? 14 : guest_gpr(guest, RAX);
}

static uint64_t serve(struct guest *guest, uint64_t function) {
  guest_set_gpr(guest, RDI, function);
  return result(guest);
}

/* Whatever the tables say of a page with code holds after mov cr3, for the kernel and for user mode. */
static void code_after_cr3(void) {
  for (int round = 0; round < 8; round++) {
    struct guest guest = serving_guest(round & 1 ? code_serve_user : code_serve_kernel, round & 1 ? 3 : 0);
    uint64_t *pte = guest_pte(&guest, FREE), *pd = (uint64_t *)guest_at(&guest, GUEST_TABLES) + 1024;
    uint64_t *entry = &pd[FREE >> 21], old_table = *entry, new_table = FREE + 0x2000;
    uint64_t one = FREE | P | W | U, two = one + 0x1000;
    put_function(&guest, FREE, 11);
    put_function(&guest, FREE + 0x1000, 22);
    memcpy(guest_at(&guest, new_table), pte, 4096); /* FREE is the first page of its table */
    *(uint64_t *)guest_at(&guest, new_table) = two;
    for (int i = 0; i < 3; i++) {
      *pte = one; /* not accessed */
      CHECK_EQ(serve(&guest, FREE), 11);
      CHECK_EQ(*pte, one | A);
    }
    *pte = two;
    CHECK_EQ(serve(&guest, FREE), 22);
    *pte = one;
    CHECK_EQ(serve(&guest, FREE), 11);
    *entry = new_table | P | W | U;
    CHECK_EQ(serve(&guest, FREE), 22);
    *entry = 0;
    CHECK_EQ(serve(&guest, FREE), 14);
    *entry = old_table;
    CHECK_EQ(result(&guest), 11);
    *pte = one | NX;
    CHECK_EQ(serve(&guest, FREE), 14);
    *pte = one;
    CHECK_EQ(result(&guest), 11);
    *pte = (one | A) & ~(uint64_t)U;
    CHECK_EQ(serve(&guest, FREE), round & 1 ? 14 : 11);
    *pte = two;
    CHECK_EQ(round & 1 ? result(&guest) : serve(&guest, FREE), 22);
    *pte = 0;
    CHECK_EQ(serve(&guest, FREE), 14);
    guest_free(&guest);
  }
}

/* A jump over two pages, of which the second changes: nothing else is in that page. It is jumped to within
 * the first page, too. */
static void second_page_after_cr3(void) {
  static const uint8_t here[] = {0x31, 0xc0, 0xeb, 9};  /* xor %eax, %eax; jmp there */
  static const uint8_t there[] = {0xe9, 0, 0x10, 0, 0}; /* jmp 0x1000 bytes ahead */
  struct guest guest = serving_guest(code_serve_kernel, 0);
  uint64_t second = FREE + 0x1000, jump = second - 3, target = jump + sizeof(there) + 0x1000;
  memcpy(guest_at(&guest, jump - 13), here, sizeof(here));
  memcpy(guest_at(&guest, jump), there, sizeof(there));
  *(uint8_t *)guest_at(&guest, FREE + 0x5000) = 1; /* 0x11000 bytes */
  put_function(&guest, target, 1);
  put_function(&guest, target + 0x10000, 2);
  for (int i = 0; i < 36; i++) {
    bool other = i / 3 & 2;
    *guest_pte(&guest, second) = (other ? FREE + 0x5000 : second) | P | W | U | A;
    CHECK_EQ(serve(&guest, jump - (i / 3 & 1 ? 13 : 0)), other ? 2 : 1);
  }
  guest_free(&guest);
}

/* invlpg is of the one page; what is known of others stays. */
static void code_after_invlpg(void) {
  struct guest guest = serving_guest(code_serve_invlpg, 0);
  put_function(&guest, FREE, 11);
  put_function(&guest, FREE + 0x1000, 22);
  put_function(&guest, FREE + 0x2000, 33);
  for (int i = 0; i < 24; i++) {
    *guest_pte(&guest, FREE) = (FREE + (i & 4 ? 0x1000 : 0)) | P | W | U;
    CHECK_EQ(serve(&guest, FREE), i & 4 ? 22 : 11);
    CHECK_EQ(serve(&guest, FREE + 0x2000), 33);
  }
  guest_free(&guest);
}

/* More pages of code than are remembered, which change places. */
static void much_code(void) {
  struct guest guest = serving_guest(code_serve_kernel, 0);
  enum { PAGES = 2000 };
  for (uint64_t i = 0; i < PAGES; i++)
    put_function(&guest, FREE + i * 4096, i);
  for (int round = 0; round < 4; round++) {
    for (uint64_t i = 0; i < PAGES; i++)
      CHECK_EQ(serve(&guest, FREE + i * 4096), round & 1 ? i ^ 1 : i);
    for (uint64_t i = 0; i < PAGES; i++)
      *guest_pte(&guest, FREE + i * 4096) ^= 4096;
  }
  guest_free(&guest);
}

const struct test jump_tests[] = {
    {"jumps: after mov cr3", code_after_cr3},
    {"jumps: a second page after mov cr3", second_page_after_cr3},
    {"jumps: after invlpg", code_after_invlpg},
    {"jumps: much code", much_code},
    {0},
};
