/* Exceptions come through the IDT with the error codes, stacks and addresses of the Intel SDM (vol. 3,
 * chapter 6). */
#include "harness.h"

#include <string.h>

LABEL(code_add);
LABEL(code_int80);
LABEL(code_int80_end);
LABEL(code_int81);
LABEL(code_int82);
LABEL(code_int3);
LABEL(code_int3_end);
LABEL(code_int1);
LABEL(code_int1_end);
LABEL(code_iret32);
LABEL(code_lock_bt);
LABEL(code_lock_bts_register);
LABEL(code_lock_btr_register);
LABEL(code_lock_bts);
LABEL(code_ud2);
LABEL(code_divide);
LABEL(code_divide_at);
LABEL(code_gp);
LABEL(code_gp_at);
LABEL(code_read);
LABEL(code_write);
LABEL(code_jump);
LABEL(code_load_ds);
LABEL(code_load_ss);
LABEL(code_x87);
LABEL(code_x87_at);
LABEL(code_fpu);
LABEL(code_cli);
LABEL(code_hlt);
LABEL(code_mov_cr3);
LABEL(code_rdmsr);
LABEL(code_lgdt);
LABEL(code_invlpg);

enum { RF = 1 << 16 };

#define EXPECT(frame_, vector_, error_, rip_)                                                                \
  do {                                                                                                       \
    struct frame seen = frame_;                                                                              \
    CHECK_EQ(seen.vector, vector_);                                                                          \
    CHECK_EQ(seen.error, error_);                                                                            \
    CHECK_EQ(seen.rip, AT(rip_));                                                                            \
  } while (0)

static void faults(void) {
  static const int rings[] = {0, 1, 3};
  for (int i = 0; i < 3; i++) {
    struct guest guest = guest_new(AT(code_add));
    int ring = rings[i];
    EXPECT(guest_run_at(&guest, code_ud2, ring), 6, 0, code_ud2);
    EXPECT(guest_run_at(&guest, code_int1, ring), 1, 0, code_int1_end);
    EXPECT(guest_run_at(&guest, code_divide, ring), 0, 0, code_divide_at);
    EXPECT(guest_run_at(&guest, code_gp, ring), 13, 0, code_gp_at);
    EXPECT(guest_run_at(&guest, code_x87, ring), 16, 0, code_x87_at);
    guest_free(&guest);
  }
}

/* The frame shows where the fault came from; the handler runs in ring 0 on the TSS's stack, 16 bytes aligned.
 */
static void frames(void) {
  struct guest guest = guest_new(AT(code_add));
  guest_set_ring(&guest, 3);
  guest_set_gpr(&guest, RSP, STACK3 - 0x123);
  guest_set_rip(&guest, AT(code_ud2));
  struct frame frame = guest_run(&guest);
  CHECK_EQ(frame.cs, CS3);
  CHECK_EQ(frame.ss, DS3);
  CHECK_EQ(frame.rsp, STACK3 - 0x123);
  CHECK_EQ(softcpu_cpl(guest.cpu), 0);
  CHECK_EQ(guest_gpr(&guest, RSP), STACK_TRAP - sizeof(frame));
  softcpu_state state;
  softcpu_get_state(guest.cpu, &state);
  CHECK_EQ(state.seg[SOFTCPU_CS].selector, CS0);
  CHECK_EQ(state.seg[SOFTCPU_SS].selector, 0);
  guest_set_ring(&guest, 0);
  guest_set_gpr(&guest, RSP, STACK0 - 5);
  guest_set_rip(&guest, AT(code_ud2));
  frame = guest_run(&guest);
  CHECK_EQ(frame.rsp, STACK0 - 5);
  CHECK_EQ(guest_gpr(&guest, RSP), STACK0 - 16 - sizeof(frame));
  guest_free(&guest);
}

/* SDM vol. 3, 17.3.1.1: a fault's frame has RF set, so that returning does not hit an instruction breakpoint
 * again; a software interrupt's and a trap's do not. */
static void resume_flag(void) {
  struct guest guest = guest_new(AT(code_add));
  CHECK(guest_run_at(&guest, code_ud2, 1).rflags & RF);
  CHECK(guest_run_at(&guest, code_gp, 1).rflags & RF);
  guest_set_gpr(&guest, RDI, 0x40000000);
  CHECK(guest_run_at(&guest, code_read, 1).rflags & RF);
  CHECK(!(guest_run_at(&guest, code_int80, 1).rflags & RF));
  CHECK(!(guest_run_at(&guest, code_int80, 3).rflags & RF));
  softcpu_state state;
  softcpu_get_state(guest.cpu, &state);
  CHECK(!(state.rflags & RF));
  guest_free(&guest);
}

/* SDM vol. 2, INT n, and 6.13: the error code of a gate that cannot be used is its index * 8 + 2. */
static void bad_gates(void) {
  struct guest guest = guest_new(AT(code_add));
  EXPECT(guest_run_at(&guest, code_int80, 3), 0x80, 0, code_int80_end);
  EXPECT(guest_run_at(&guest, code_int80, 1), 0x80, 0, code_int80_end);
  EXPECT(guest_run_at(&guest, code_int81, 0), 0x81, 0, code_int81 + 2);
  EXPECT(guest_run_at(&guest, code_int81, 1), 13, 0x81 * 8 + 2, code_int81);
  EXPECT(guest_run_at(&guest, code_int81, 3), 13, 0x81 * 8 + 2, code_int81);
  EXPECT(guest_run_at(&guest, code_int3, 3), 13, 3 * 8 + 2, code_int3);
  guest_set_gate(&guest, 3, 0xf, 3, 0, true);
  EXPECT(guest_run_at(&guest, code_int3, 3), 3, 0, code_int3_end);
  guest_set_gate(&guest, 0x82, 0xe, 3, 0, false);
  EXPECT(guest_run_at(&guest, code_int82, 3), 11, 0x82 * 8 + 2, code_int82);
  EXPECT(guest_run_at(&guest, code_int82, 0), 11, 0x82 * 8 + 2, code_int82);
  guest_set_gate(&guest, 0x82, 0x5, 3, 0, true);
  EXPECT(guest_run_at(&guest, code_int82, 3), 13, 0x82 * 8 + 2, code_int82);
  softcpu_state state;
  softcpu_get_state(guest.cpu, &state);
  state.idt_limit = 0x82 * 16 + 14;
  softcpu_set_state(guest.cpu, &state);
  EXPECT(guest_run_at(&guest, code_int82, 0), 13, 0x82 * 8 + 2, code_int82);
  guest_set_flags(&guest, 0x202); /* an event from outside: EXT, bit 0 */
  softcpu_raise_irq(guest.cpu, 0x90);
  EXPECT(guest_run_at(&guest, code_add, 1), 13, 0x90 * 8 + 3, code_add);
  guest_free(&guest);
}

/* An interrupt gate clears IF, a trap gate keeps it; both clear TF. */
static void gate_types(void) {
  struct guest guest = guest_new(AT(code_add));
  softcpu_state state;
  for (int type = 0xe; type <= 0xf; type++) {
    guest_set_gate(&guest, 0x80, type, 3, 0, true);
    guest_set_flags(&guest, 0x202);
    CHECK_EQ(guest_run_at(&guest, code_int80, 3).rflags & 0x200, 0x200);
    softcpu_get_state(guest.cpu, &state);
    CHECK_EQ(state.rflags & 0x200, type == 0xf ? 0x200 : 0);
  }
  guest_free(&guest);
}

static void stack_table(void) {
  struct guest guest = guest_new(AT(code_add));
  guest_set_gate(&guest, 6, 0xe, 0, 1, true);
  guest_set_gate(&guest, 13, 0xe, 0, 2, true);
  for (int ring = 0; ring <= 3; ring += 3) {
    EXPECT(guest_run_at(&guest, code_ud2, ring), 6, 0, code_ud2);
    CHECK_EQ(guest_gpr(&guest, RSP), STACK_IST1 - sizeof(struct frame));
    EXPECT(guest_run_at(&guest, code_gp, ring), 13, 0, code_gp_at);
    CHECK_EQ(guest_gpr(&guest, RSP), STACK_IST2 - sizeof(struct frame));
  }
  guest_free(&guest);
}

static void privileged(void) {
  static const char *const codes[] = {code_cli, code_hlt, code_mov_cr3, code_rdmsr, code_lgdt, code_invlpg};
  struct guest guest = guest_new(AT(code_add));
  for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
    guest_set_gpr(&guest, RDI, GUEST_DATA);
    EXPECT(guest_run_at(&guest, codes[i], 1), 13, 0, codes[i]);
    EXPECT(guest_run_at(&guest, codes[i], 3), 13, 0, codes[i]);
  }
  guest_free(&guest);
}

/* SDM vol. 2, IRET: VM and IOPL are not ring 3's to load; in long mode VM is nobody's. */
static void no_virtual_8086(void) {
  struct guest guest = guest_new(AT(code_add));
  for (int ring = 0; ring <= 3; ring += 3) {
    guest_set_gpr(&guest, RSI, AT(code_int80));
    guest_set_gpr(&guest, RDI, 0x23002);
    struct frame frame = guest_run_at(&guest, code_iret32, ring);
    CHECK_EQ(frame.vector, 0x80);
    CHECK_EQ(frame.rip, AT(code_int80_end));
    CHECK_EQ(frame.cs, CS3);
    CHECK_EQ(frame.rflags & 0x23000, ring == 0 ? 0x3000 : 0);
    guest_set_flags(&guest, 2);
  }
  guest_free(&guest);
}

static void locks(void) {
  static const char *const refused[] = {code_lock_bt, code_lock_bts_register, code_lock_btr_register};
  struct guest guest = guest_new(AT(code_add));
  guest_set_gpr(&guest, RDI, GUEST_DATA);
  for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
    EXPECT(guest_run_at(&guest, refused[i], 3), 6, 0, refused[i]);
  CHECK_EQ(guest_run_at(&guest, code_lock_bts, 3).vector, 0x80);
  CHECK_EQ(*(uint64_t *)guest_at(&guest, GUEST_DATA), 8);
  guest_free(&guest);
}

static void segment_loads(void) {
  struct guest guest = guest_new(AT(code_add));
  uint64_t *gdt = guest_at(&guest, GUEST_GDT);
  gdt[0x60 / 8] = 0x00cf73000000ffffull; /* DPL 3 data, not present */
  gdt[0x68 / 8] = 0x00cff1000000ffffull; /* DPL 3 data, read only */
  guest_set_gpr(&guest, RAX, 0x63);
  EXPECT(guest_run_at(&guest, code_load_ds, 3), 11, 0x60, code_load_ds);
  EXPECT(guest_run_at(&guest, code_load_ss, 3), 12, 0x60, code_load_ss);
  guest_set_gpr(&guest, RAX, 0x6b);
  EXPECT(guest_run_at(&guest, code_load_ss, 3), 13, 0x68, code_load_ss);
  guest_set_gpr(&guest, RAX, DS0);
  EXPECT(guest_run_at(&guest, code_load_ds, 3), 13, DS0, code_load_ds);
  guest_set_gpr(&guest, RAX, 0x1003);
  EXPECT(guest_run_at(&guest, code_load_ds, 3), 13, 0x1000, code_load_ds);
  guest_set_gpr(&guest, RAX, 0);
  EXPECT(guest_run_at(&guest, code_load_ss, 3), 13, 0, code_load_ss);
  EXPECT(guest_run_at(&guest, code_load_ds, 0), NO_VECTOR, 0, code_load_ds + 4);
  guest_free(&guest);
}

/* #PF's error code: present, write, user, reserved, fetch. CR2. */
static void page_faults(void) {
  enum { P = 1, W = 2, U = 4, RSVD = 8, I = 16 };
  const uint64_t nx = 1ull << 63;
  struct guest guest = guest_new(AT(code_add));
  uint64_t page = FREE;
  const struct {
    const char *code;
    int ring;
    uint64_t pte;
    uint64_t error;
  } cases[] = {
      {code_read, 0, 0, 0},
      {code_write, 0, 0, W},
      {code_jump, 0, 0, I},
      {code_read, 1, 0, 0},
      {code_write, 1, 0, W},
      {code_read, 3, 0, U},
      {code_write, 3, 0, U | W},
      {code_jump, 3, 0, U | I},
      {code_write, 0, P, P | W},
      {code_write, 1, P, P | W},
      {code_write, 3, P | U, P | W | U},
      {code_read, 3, P | W, P | U},
      {code_write, 3, P | W, P | W | U},
      {code_jump, 3, P | W, P | U | I},
      {code_jump, 0, P | W | nx, P | I},
      {code_jump, 1, P | W | nx, P | I},
      {code_jump, 3, P | W | U | nx, P | U | I},
      {code_read, 0, P | W | 1ull << 50, P | RSVD},
  };
  for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    *guest_pte(&guest, page) = cases[i].pte ? page | cases[i].pte : 0;
    softcpu_flush_tlb(guest.cpu);
    guest_set_gpr(&guest, RDI, page + 0x10 * i);
    struct frame frame = guest_run_at(&guest, cases[i].code, cases[i].ring);
    softcpu_state state;
    softcpu_get_state(guest.cpu, &state);
    CHECK_EQ(frame.vector, 14);
    CHECK_EQ(frame.error, cases[i].error);
    CHECK_EQ(state.cr2, page + 0x10 * i);
    CHECK_EQ(frame.rip, cases[i].code == code_jump ? state.cr2 : AT(cases[i].code));
  }
  guest_free(&guest);
}

/* CR0.TS gives #NM for FPU and SSE instructions. */
static void device_not_available(void) {
  struct guest guest = guest_new(AT(code_add));
  softcpu_state state;
  softcpu_get_state(guest.cpu, &state);
  state.cr0 |= 8;
  softcpu_set_state(guest.cpu, &state);
  EXPECT(guest_run_at(&guest, code_fpu, 3), 7, 0, code_fpu);
  softcpu_get_state(guest.cpu, &state);
  state.cr0 &= ~8ull;
  softcpu_set_state(guest.cpu, &state);
  CHECK_EQ(guest_run_at(&guest, code_fpu, 0).vector, NO_VECTOR);
  guest_free(&guest);
}

/* A page fault while a page fault is delivered: #DF, error code 0, on its own stack. */
static void double_fault(void) {
  struct guest guest = guest_new(AT(code_add));
  guest_set_gate(&guest, 8, 0xe, 0, 1, true);
  *guest_pte(&guest, STACK_TRAP - 0x1000) = 0;
  softcpu_flush_tlb(guest.cpu);
  guest_set_gpr(&guest, RDI, 0x40000000);
  struct frame frame = guest_run_at(&guest, code_read, 3);
  CHECK_EQ(frame.vector, 8);
  CHECK_EQ(frame.error, 0);
  CHECK_EQ(guest_gpr(&guest, RSP), STACK_IST1 - sizeof(frame));
  /* A fault that follows a delivered one is no double fault. */
  *guest_pte(&guest, STACK_TRAP - 0x1000) = (STACK_TRAP - 0x1000) | 7;
  softcpu_flush_tlb(guest.cpu);
  guest_set_gpr(&guest, RDI, 0x40000000);
  CHECK_EQ(guest_run_at(&guest, code_read, 3).vector, 14);
  CHECK_EQ(guest_run_at(&guest, code_read, 0).vector, 14);
  guest_free(&guest);
}

static void triple_fault(void) {
  for (int again = 0; again < 2; again++) {
    struct guest guest = guest_new(AT(code_add));
    softcpu_state state;
    softcpu_get_state(guest.cpu, &state);
    state.idt_limit = again ? 0 : state.idt_limit;
    if (!again) memset(guest_at(&guest, GUEST_IDT), 0, 0x1000);
    state.rip = AT(code_ud2);
    softcpu_set_state(guest.cpu, &state);
    CHECK_EQ(softcpu_run(guest.cpu), SOFTCPU_EXIT_SHUTDOWN);
    softcpu_get_state(guest.cpu, &state);
    CHECK_EQ(state.rip, AT(code_ud2));
    /* It can be put right and used again. */
    state.rip = AT(code_add);
    softcpu_set_state(guest.cpu, &state);
    CHECK_EQ(softcpu_run(guest.cpu), SOFTCPU_EXIT_PORT);
    CHECK_EQ(guest_gpr(&guest, RAX), 42);
    guest_free(&guest);
  }
}

const struct test exception_tests[] = {
    {"exceptions: faults in every ring", faults},
    {"exceptions: frame and stack", frames},
    {"exceptions: RF", resume_flag},
    {"exceptions: gates that cannot be used", bad_gates},
    {"exceptions: interrupt and trap gates", gate_types},
    {"exceptions: interrupt stack table", stack_table},
    {"exceptions: privileged instructions", privileged},
    {"exceptions: no virtual-8086 mode", no_virtual_8086},
    {"exceptions: what cannot be locked", locks},
    {"exceptions: segment loads", segment_loads},
    {"exceptions: page faults", page_faults},
    {"exceptions: device not available", device_not_available},
    {"exceptions: double fault", double_fault},
    {"exceptions: triple fault", triple_fault},
    {0},
};
