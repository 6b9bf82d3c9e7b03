/* Many CPUs, one after the other and at once. */
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

LABEL(code_add);
LABEL(code_patch_loop);
LABEL(code_spin);
LABEL(code_lock_storm);

static long resident_pages(void) {
  long total = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%ld %ld", &total, &resident) != 2) total = 0;
  if (file) fclose(file);
  return resident;
}

static long mapped_pages(void) {
  long total = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%ld", &total) != 1) total = 0;
  if (file) fclose(file);
  return total;
}

static void run_something(void) {
  struct guest guest = guest_new(AT(code_add));
  CHECK_EQ(guest_run(&guest).vector, NO_VECTOR);
  guest_set_gpr(&guest, RCX, 50);
  guest_run_at(&guest, code_patch_loop, 0);
  CHECK_EQ(guest_gpr(&guest, RBX), 50 * 51 / 2);
  guest_free(&guest);
}

static void no_leak(void) {
  for (int i = 0; i < 50; i++)
    run_something();
  long resident = resident_pages(), mapped = mapped_pages();
  for (int i = 0; i < 1000; i++)
    run_something();
  CHECK(resident_pages() - resident < 256); /* 1 MiB; one CPU is more than that */
  CHECK(mapped_pages() - mapped < 256);
}

static void refused(void) {
  static uint8_t page[3 * 4096] __attribute__((aligned(4096)));
  const softcpu_config bad[] = {
      {.ram = NULL, .ram_bytes = 4096},
      {.ram = page + 1, .ram_bytes = 4096},
      {.ram = page, .ram_bytes = 0},
      {.ram = page, .ram_bytes = 4097},
      {.ram = page, .ram_bytes = SOFTCPU_MAX_RAM + 4096},
      {.ram = page, .ram_bytes = 4096, .code_mib = 1 << 20},
  };
  for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    const char *error = NULL;
    CHECK(!softcpu_create(&bad[i], &error));
    CHECK(error && *error);
  }
  softcpu_destroy(NULL);
  const softcpu_config good = {.ram = page, .ram_bytes = 4096, .exit_port = UINT32_MAX, .code_mib = 1};
  softcpu *cpus[SOFTCPU_MAX_CPUS];
  for (int i = 0; i < SOFTCPU_MAX_CPUS; i++)
    CHECK((cpus[i] = softcpu_create(&good, NULL)));
  CHECK(!softcpu_create(&good, NULL));
  for (int i = 0; i < SOFTCPU_MAX_CPUS; i++)
    softcpu_destroy(cpus[i]);
}

/* 17 GiB: only what is used is touched. */
static void large_memory(void) {
  const uint64_t bytes = 17ull << 30;
  void *ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(ram != MAP_FAILED);
  long before = resident_pages();
  const softcpu_config config = {.ram = ram, .ram_bytes = bytes, .exit_port = EXIT_PORT};
  softcpu *cpu = softcpu_create(&config, NULL);
  CHECK(cpu);
  softcpu_state state;
  softcpu_get_state(cpu, &state);
  uint8_t *code = (uint8_t *)ram + bytes - 4096;
  memcpy(code, (uint8_t[]){0xe6, EXIT_PORT}, 2);
  uint64_t *table = ram; /* PML4, PDPT with pages of 1 GiB */
  table[512] = 0x1003;
  table[0] = 0x1003;
  memset(table + 512, 0, 4096);
  for (uint64_t i = 0; i < 17; i++)
    table[512 + i] = i << 30 | 0x83;
  state.cr0 = 0x80000031;
  state.cr3 = 0;
  state.cr4 = 0x20;
  state.efer = 0x500;
  for (int i = SOFTCPU_ES; i <= SOFTCPU_GS; i++)
    state.seg[i] =
        (softcpu_seg){.selector = 8, .limit = 0xffffffff, .flags = i == SOFTCPU_CS ? 0xa09b00 : 0xc09300};
  state.rip = bytes - 4096;
  CHECK(softcpu_set_state(cpu, &state));
  CHECK_EQ(softcpu_run(cpu), SOFTCPU_EXIT_PORT);
  CHECK(resident_pages() - before < 1024);
  softcpu_invalidate(cpu, 0, bytes);
  softcpu_destroy(cpu);
  munmap(ram, bytes);
}

static void *work(void *argument) {
  uint64_t rounds = *(uint64_t *)argument;
  struct guest guest = guest_new(AT(code_lock_storm));
  guest_set_gpr(&guest, RCX, rounds);
  guest_set_gpr(&guest, RDI, GUEST_DATA);
  guest_set_gpr(&guest, RSI, GUEST_DATA + 64);
  guest_set_gpr(&guest, R9, 1);
  guest_set_gpr(&guest, R8, 0);
  CHECK_EQ(guest_run(&guest).vector, NO_VECTOR);
  CHECK_EQ(guest_gpr(&guest, R8), 0);
  CHECK_EQ(*(uint64_t *)guest_at(&guest, GUEST_DATA + 64), rounds);
  guest_set_gpr(&guest, RCX, 200);
  guest_run_at(&guest, code_patch_loop, 0);
  CHECK_EQ(guest_gpr(&guest, RBX), 200 * 201 / 2);
  guest_free(&guest);
  return NULL;
}

static void at_once(void) {
  enum { THREADS = 16 };
  pthread_t threads[THREADS];
  uint64_t rounds[THREADS];
  for (int i = 0; i < THREADS; i++) {
    rounds[i] = 100000 + i;
    pthread_create(&threads[i], NULL, work, &rounds[i]);
  }
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
}

static void *run_it(void *argument) {
  struct guest *guest = argument;
  CHECK_EQ(guest_run(guest).vector, NO_VECTOR);
  guest_set_rip(guest, AT(code_add));
  return NULL;
}

/* A CPU may move from thread to thread, and several may take turns on one. */
static void between_threads(void) {
  struct guest a = guest_new(AT(code_add)), b = guest_new(AT(code_add));
  for (int i = 0; i < 20; i++) {
    pthread_t thread;
    pthread_create(&thread, NULL, run_it, i & 1 ? &a : &b);
    pthread_join(thread, NULL);
    guest_set_gpr(&a, RCX, 10 + i);
    guest_set_gpr(&b, RCX, 20 + i);
    guest_run_at(&a, code_patch_loop, 0);
    guest_run_at(&b, code_patch_loop, 0);
    CHECK_EQ(guest_gpr(&a, RBX), (10 + i) * (11 + i) / 2);
    CHECK_EQ(guest_gpr(&b, RBX), (20 + i) * (21 + i) / 2);
    guest_set_rip(&a, AT(code_add));
    guest_set_rip(&b, AT(code_add));
  }
  guest_free(&a);
  guest_free(&b);
}

const struct test life_tests[] = {
    {"life: created and destroyed 1000 times", no_leak},
    {"life: what is refused", refused},
    {"life: 17 GiB", large_memory},
    {"life: sixteen at once", at_once},
    {"life: between threads", between_threads},
    {0},
};
