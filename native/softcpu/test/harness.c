#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int failures;

void check(bool condition, const char *text, const char *file, int line) {
  if (condition) return;
  failures++;
  printf("  %s:%d: %s\n", file, line, text);
}

void check_equal(uint64_t a, uint64_t b, const char *text, const char *file, int line) {
  if (a == b) return;
  failures++;
  printf("  %s:%d: %s: 0x%llx, 0x%llx\n", file, line, text, (unsigned long long)a, (unsigned long long)b);
}

void *guest_at(struct guest *guest, uint64_t gpa) {
  return guest->ram + gpa;
}

uint64_t *guest_pte(struct guest *guest, uint64_t gva) {
  return (uint64_t *)guest_at(guest, GUEST_TABLES + 0x3000) + (gva >> 12);
}

enum { PTE_P_W_U = 7 };

static void build_tables(struct guest *guest) {
  uint64_t *pml4 = guest_at(guest, GUEST_TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512;
  pml4[0] = (GUEST_TABLES + 0x1000) | PTE_P_W_U;
  pdpt[0] = (GUEST_TABLES + 0x2000) | PTE_P_W_U;
  for (int i = 0; i < RAM_BYTES >> 21; i++)
    pd[i] = (GUEST_TABLES + 0x3000 + i * 0x1000) | PTE_P_W_U;
  for (uint64_t page = 0; page < RAM_BYTES >> 12; page++)
    *guest_pte(guest, page << 12) = page << 12 | PTE_P_W_U;
}

static uint64_t segment(uint32_t flags) {
  return (uint64_t)flags << 32 | 0xffff;
}

static void system_segment(uint64_t *gdt, int selector, uint64_t base, uint32_t limit, uint32_t type) {
  gdt[selector / 8] =
      (uint64_t)limit | (base & 0xffffff) << 16 | (uint64_t)type << 40 | (base >> 24 & 0xff) << 56;
  gdt[selector / 8 + 1] = base >> 32;
}

static void build_descriptors(struct guest *guest) {
  uint64_t *gdt = guest_at(guest, GUEST_GDT);
  gdt[CS0 / 8] = segment(0xaf9b00);
  gdt[DS0 / 8] = segment(0xcf9300);
  gdt[CS1 / 8] = segment(0xafbb00);
  gdt[DS1 / 8] = segment(0xcfb300);
  gdt[CS3_32 / 8] = segment(0xcffb00);
  gdt[DS3 / 8] = segment(0xcff300);
  gdt[CS3 / 8] = segment(0xaffb00);
  system_segment(gdt, TSS, GUEST_TSS, 0x2fff, 0x8b);
  system_segment(gdt, LDT, GUEST_LDT, 0xfff, 0x82);
  uint8_t *tss = guest_at(guest, GUEST_TSS);
  const uint64_t rsp0 = STACK_TRAP, ist1 = STACK_IST1, ist2 = STACK_IST2;
  memcpy(tss + 4, &rsp0, 8);
  memcpy(tss + 36, &ist1, 8);
  memcpy(tss + 44, &ist2, 8);
  tss[102] = 0x68; /* the I/O permission bitmap: every port but those of its first bytes refused */
  memset(tss + 0x68, 0xff, 0x2001);
  for (int vector = 0; vector < 256; vector++)
    guest_set_gate(guest, vector, 0xe, vector == 0x80 ? 3 : 0, 0, true);
}

void guest_set_gate(struct guest *guest, int vector, int type, int dpl, int ist, bool present) {
  uint64_t *idt = guest_at(guest, GUEST_IDT), entry = AT(guest_vectors) + vector * 16;
  idt[vector * 2] = (entry & 0xffff) | (uint64_t)CS0 << 16 | (uint64_t)ist << 32 |
                    (uint64_t)(type | dpl << 5 | present << 7) << 40 | (entry >> 16 & 0xffff) << 48;
  idt[vector * 2 + 1] = entry >> 32;
}

void guest_set_ring(struct guest *guest, int ring) {
  static const uint16_t code[] = {CS0, CS1, 0, CS3}, data[] = {DS0, DS1, 0, DS3};
  static const uint64_t stack[] = {STACK0, STACK1, 0, STACK3};
  softcpu_state state;
  softcpu_get_state(guest->cpu, &state);
  for (int i = SOFTCPU_ES; i <= SOFTCPU_GS; i++)
    state.seg[i] = (softcpu_seg){
        .selector = i == SOFTCPU_CS ? code[ring] : data[ring],
        .limit = 0xffffffff,
        .flags = (i == SOFTCPU_CS ? 0xa09b00 : 0xc09300) | ring << 13,
    };
  state.gpr[4] = stack[ring];
  softcpu_set_state(guest->cpu, &state);
}

void guest_set_rip(struct guest *guest, uint64_t rip) {
  softcpu_state state;
  softcpu_get_state(guest->cpu, &state);
  state.rip = rip;
  softcpu_set_state(guest->cpu, &state);
}

void guest_set_flags(struct guest *guest, uint64_t rflags) {
  softcpu_state state;
  softcpu_get_state(guest->cpu, &state);
  state.rflags = rflags;
  softcpu_set_state(guest->cpu, &state);
}

uint64_t guest_rip(struct guest *guest) {
  softcpu_state state;
  softcpu_get_state(guest->cpu, &state);
  return state.rip;
}

static void set_start_state(struct guest *guest, uint64_t entry) {
  softcpu_state state;
  softcpu_get_state(guest->cpu, &state);
  state.cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
  state.cr3 = GUEST_TABLES;
  state.cr4 = 0x620;  /* OSXMMEXCPT OSFXSR PAE */
  state.efer = 0xd01; /* NXE LMA LME SCE */
  state.gdt_base = GUEST_GDT;
  state.gdt_limit = 0xfff;
  state.idt_base = GUEST_IDT;
  state.idt_limit = 0xfff;
  state.seg[SOFTCPU_TR] = (softcpu_seg){.selector = TSS, .base = GUEST_TSS, .limit = 0x2fff, .flags = 0x8b00};
  state.seg[SOFTCPU_LDTR] =
      (softcpu_seg){.selector = LDT, .base = GUEST_LDT, .limit = 0xfff, .flags = 0x8200};
  state.rip = entry;
  state.rflags = 2;
  if (!softcpu_set_state(guest->cpu, &state)) {
    fprintf(stderr, "the start state was refused\n");
    exit(1);
  }
  guest_set_ring(guest, 0);
}

struct guest guest_new(uint64_t entry) {
  return guest_new_marked(entry, NULL);
}

struct guest guest_new_marked(uint64_t entry, uint8_t *marks) {
  struct guest guest = {.test = "?"};
  const char *error = "mmap";
  guest.ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  softcpu_config config = {
      .ram = guest.ram, .ram_bytes = RAM_BYTES, .exit_port = EXIT_PORT, .code_mib = 8, .code_marks = marks};
  if (guest.ram != MAP_FAILED) guest.cpu = softcpu_create(&config, &error);
  if (!guest.cpu) {
    fprintf(stderr, "no soft CPU: %s\n", error);
    exit(1);
  }
  memcpy(guest_at(&guest, GUEST_CODE), guest_begin, guest_end - guest_begin);
  build_tables(&guest);
  build_descriptors(&guest);
  set_start_state(&guest, entry);
  return guest;
}

struct guest guest_sibling(const struct guest *guest, uint64_t entry) {
  struct guest sibling = {.ram = guest->ram, .test = guest->test};
  softcpu_config config = {.sibling = guest->cpu};
  const char *error = "?";
  sibling.cpu = softcpu_create(&config, &error);
  if (!sibling.cpu) {
    fprintf(stderr, "no sibling: %s\n", error);
    exit(1);
  }
  set_start_state(&sibling, entry);
  return sibling;
}

void guest_free(struct guest *guest) {
  softcpu_destroy(guest->cpu);
  munmap(guest->ram, RAM_BYTES);
}

struct frame guest_run(struct guest *guest) {
  softcpu_exit reason = softcpu_run(guest->cpu);
  softcpu_state state;
  softcpu_get_state(guest->cpu, &state);
  struct frame frame = {.vector = NO_VECTOR, .rip = state.rip};
  if (reason != SOFTCPU_EXIT_PORT) {
    printf("  exit %d (%s) at 0x%llx\n", reason, softcpu_error(guest->cpu), (unsigned long long)state.rip);
    failures++;
  } else if (state.rip == AT(guest_trap_exit)) {
    memcpy(&frame, guest_at(guest, state.gpr[4]), sizeof(frame));
  }
  return frame;
}

void guest_resume(struct guest *guest) {
  guest_set_rip(guest, AT(guest_trap_exit));
}

struct frame guest_run_at(struct guest *guest, const char *label, int ring) {
  guest_set_ring(guest, ring);
  guest_set_rip(guest, AT(label));
  return guest_run(guest);
}

void put_function(struct guest *guest, uint64_t gpa, uint32_t value) {
  uint8_t code[] = {0xb8, 0, 0, 0, 0, 0xc3};
  memcpy(code + 1, &value, 4);
  memcpy(guest_at(guest, gpa), code, sizeof(code));
}

void guest_set_gpr(struct guest *guest, int gpr, uint64_t value) {
  softcpu_gpr(guest->cpu)[gpr] = value;
}
uint64_t guest_gpr(struct guest *guest, int gpr) {
  return softcpu_gpr(guest->cpu)[gpr];
}
