/* System calls, MSRs, segments, ports, XSAVE: what the monitor and a PV kernel use. */
#include "harness.h"

#include <string.h>
#include <x86intrin.h>

LABEL(code_add);
LABEL(code_syscall);
LABEL(code_syscall_end);
LABEL(code_syscall_entry);
LABEL(code_syscall_loop);
LABEL(code_iretq_entry);
LABEL(code_sysretl);
LABEL(code_swapgs);
LABEL(code_gs_fs);
LABEL(code_wrmsr);
LABEL(code_rdmsr);
LABEL(code_lldt);
LABEL(code_xsetbv);
LABEL(code_xsave);
LABEL(code_fpu_state);
LABEL(code_in);
LABEL(code_in_end);
LABEL(code_inw);
LABEL(code_out);
LABEL(code_out_end);
LABEL(code_cpuid);
LABEL(code_rdtsc);
LABEL(code_spin);

enum { MSR_EFER = 0xc0000080u, MSR_FS_BASE = 0xc0000100u, MSR_GS_BASE, MSR_KERNEL_GS_BASE };

static softcpu_state get(struct guest *guest) {
  softcpu_state state;
  softcpu_get_state(guest->cpu, &state);
  return state;
}

static void set_syscall(struct guest *guest, const char *entry) {
  softcpu_state state = get(guest);
  state.star = (uint64_t)CS3_32 << 48 | (uint64_t)CS0 << 32;
  state.lstar = AT(entry);
  state.fmask = 0x700; /* TF IF DF */
  softcpu_set_state(guest->cpu, &state);
}

/* SDM vol. 2, SYSCALL and SYSRET, from ring 3 and, as a PV kernel does, from ring 1. */
static void syscalls(void) {
  struct guest guest = guest_new(AT(code_add));
  set_syscall(&guest, code_syscall_entry);
  for (int ring = 1; ring <= 3; ring += 2) {
    guest_set_flags(&guest, 0x647); /* DF IF ZF PF CF */
    struct frame frame = guest_run_at(&guest, code_syscall, ring);
    softcpu_state state = get(&guest);
    CHECK_EQ(frame.rip, AT(code_syscall_entry) + 2);
    CHECK_EQ(softcpu_cpl(guest.cpu), 0);
    CHECK_EQ(state.gpr[RCX], AT(code_syscall_end));
    CHECK_EQ(state.gpr[R11], 0x647);
    CHECK_EQ(state.rflags, 0x47);
    CHECK_EQ(state.gpr[RSP], ring == 1 ? STACK1 : STACK3);
    CHECK_EQ(state.seg[SOFTCPU_CS].selector, CS0);
    CHECK_EQ(state.seg[SOFTCPU_SS].selector, CS0 + 8);
    CHECK_EQ(state.seg[SOFTCPU_CS].flags, 0xa09b00);
    /* sysretq always goes to ring 3 */
    frame = guest_run(&guest);
    CHECK_EQ(frame.vector, 0x80);
    CHECK_EQ(frame.cs, CS3);
    CHECK_EQ(frame.ss, CS3_32 + 8);
    CHECK_EQ(frame.rflags, 0x647);
  }
  softcpu_state state = get(&guest);
  state.efer &= ~1ull;
  softcpu_set_state(guest.cpu, &state);
  CHECK_EQ(guest_run_at(&guest, code_syscall, 3).vector, 6);
  guest_free(&guest);
}

/* The path of a monitor: SYSCALL, SWAPGS, a stack from there, IRETQ. */
static void syscall_and_iretq(void) {
  struct guest guest = guest_new(AT(code_add));
  uint64_t *area = guest_at(&guest, GUEST_DATA);
  set_syscall(&guest, code_iretq_entry);
  area[1] = STACK0;
  guest_set_ring(&guest, 3);
  softcpu_state state = get(&guest);
  state.kernel_gs_base = GUEST_DATA;
  state.seg[SOFTCPU_GS].base = 0x1234;
  state.gpr[RBX] = 100000;
  state.rip = AT(code_syscall_loop);
  softcpu_set_state(guest.cpu, &state);
  struct frame frame = guest_run(&guest);
  CHECK_EQ(frame.vector, 0x80);
  CHECK_EQ(frame.cs, CS3);
  CHECK_EQ(frame.rsp, STACK3);
  CHECK_EQ(guest_gpr(&guest, RBX), 0);
  CHECK_EQ(get(&guest).kernel_gs_base, GUEST_DATA);
  guest_free(&guest);
}

static void compatibility_mode(void) {
  struct guest guest = guest_new(AT(code_add));
  set_syscall(&guest, code_syscall_entry);
  uint8_t code[] = {0xb8, 0xff, 0xff, 0xff, 0xff,
                    0x40, 0xcd, 0x80, 0x0f, 0x0b}; /* mov $-1, %eax; inc %eax; int $0x80; ud2 */
  memcpy(guest_at(&guest, FREE), code, sizeof(code));
  guest_set_gpr(&guest, RCX, FREE);
  guest_set_gpr(&guest, R11, 0x202);
  guest_set_gpr(&guest, RAX, 0);
  guest_set_rip(&guest, AT(code_sysretl));
  struct frame frame = guest_run(&guest);
  CHECK_EQ(frame.vector, 0x80);
  CHECK_EQ(frame.cs, CS3_32);
  CHECK_EQ(frame.rip, FREE + 8);
  CHECK_EQ(guest_gpr(&guest, RAX), 0);
  guest_resume(&guest);
  frame = guest_run(&guest); /* iretq goes back to compatibility mode */
  CHECK_EQ(frame.vector, 6);
  CHECK_EQ(frame.cs, CS3_32);
  guest_free(&guest);
}

static void segment_bases(void) {
  struct guest guest = guest_new(AT(code_add));
  uint64_t *data = guest_at(&guest, GUEST_DATA);
  for (int i = 0; i < 3; i++)
    data[i] = 0x1111 * (i + 1);
  for (int i = 0; i < 3; i++) {
    guest_set_gpr(&guest, RCX, MSR_FS_BASE + i);
    guest_set_gpr(&guest, RAX, GUEST_DATA + 8 * i);
    guest_set_gpr(&guest, RDX, 0);
    CHECK_EQ(guest_run_at(&guest, code_wrmsr, 0).vector, NO_VECTOR);
    CHECK_EQ(guest_gpr(&guest, RAX), GUEST_DATA + 8 * i);
    softcpu_state state = get(&guest);
    CHECK_EQ(i == 0   ? state.seg[SOFTCPU_FS].base
             : i == 1 ? state.seg[SOFTCPU_GS].base
                      : state.kernel_gs_base,
             GUEST_DATA + 8 * i);
    if (i < 2) guest_set_ring(&guest, 0); /* it loads flat segments: set again below */
  }
  softcpu_state state = get(&guest);
  state.seg[SOFTCPU_FS].base = GUEST_DATA;
  state.seg[SOFTCPU_GS].base = GUEST_DATA + 8;
  state.kernel_gs_base = GUEST_DATA + 16;
  state.rip = AT(code_gs_fs);
  softcpu_set_state(guest.cpu, &state);
  guest_run(&guest);
  CHECK_EQ(guest_gpr(&guest, RAX), 0x2222);
  CHECK_EQ(guest_gpr(&guest, RBX), 0x1111);
  guest_set_rip(&guest, AT(code_swapgs));
  guest_run(&guest);
  CHECK_EQ(guest_gpr(&guest, RAX), 0x3333);
  state = get(&guest);
  CHECK_EQ(state.seg[SOFTCPU_GS].base, GUEST_DATA + 16);
  CHECK_EQ(state.kernel_gs_base, GUEST_DATA + 8);
  CHECK_EQ(guest_run_at(&guest, code_swapgs, 1).vector, 13);
  CHECK_EQ(guest_run_at(&guest, code_swapgs, 3).vector, 13);
  guest_free(&guest);
}

static void local_descriptors(void) {
  struct guest guest = guest_new(AT(code_add));
  uint64_t *ldt = guest_at(&guest, GUEST_LDT), *data = guest_at(&guest, GUEST_DATA);
  ldt[0] = 0x00c0f3000000ffffull | (uint64_t)(GUEST_DATA & 0xffffff) << 16;
  data[0] = 0x4711;
  guest_set_gpr(&guest, RAX, LDT);
  CHECK_EQ(guest_run_at(&guest, code_lldt, 0).vector, NO_VECTOR);
  CHECK_EQ(guest_gpr(&guest, RAX), 0x4711);
  CHECK_EQ(get(&guest).seg[SOFTCPU_LDTR].base, GUEST_LDT);
  guest_set_gpr(&guest, RAX, 0);
  struct frame frame = guest_run_at(&guest, code_lldt, 0);
  CHECK_EQ(frame.vector, 13);
  CHECK_EQ(frame.error, 4);
  guest_set_gpr(&guest, RAX, DS0);
  CHECK_EQ(guest_run_at(&guest, code_lldt, 0).error, DS0);
  guest_free(&guest);
}

/* IN gives ones; OUT is heard in ring 0; above IOPL both ask the TSS's bitmap, bit by bit. */
static void ports(void) {
  struct guest guest = guest_new(AT(code_add));
  uint8_t *bitmap = guest_at(&guest, GUEST_TSS + 0x68);
  guest_set_gpr(&guest, RDX, 0x64);
  guest_set_gpr(&guest, RAX, 0x123456789);
  guest_run_at(&guest, code_in, 0);
  CHECK_EQ(guest_gpr(&guest, RAX), 0xffffffff);
  guest_run_at(&guest, code_inw, 0);
  CHECK_EQ(guest_gpr(&guest, RAX), 0xffff);
  CHECK_EQ(guest_run_at(&guest, code_out, 0).rip, AT(code_out_end) + 2); /* not the exit port: lost */
  for (int ring = 1; ring <= 3; ring += 2) {
    memset(bitmap, 0xff, 0x2001);
    struct frame frame = guest_run_at(&guest, code_in, ring);
    CHECK_EQ(frame.vector, 13);
    CHECK_EQ(frame.error, 0);
    CHECK_EQ(frame.rip, AT(code_in));
    CHECK_EQ(guest_run_at(&guest, code_out, ring).rip, AT(code_out));
    bitmap[0x64 / 8] = (uint8_t) ~(1 << 4);
    CHECK_EQ(guest_run_at(&guest, code_in, ring).rip,
             AT(code_in) + 1); /* the byte is allowed, four are not */
    CHECK_EQ(guest_run_at(&guest, code_out, ring).vector, 0x80);
    bitmap[0x64 / 8] = 0x0f;
    CHECK_EQ(guest_run_at(&guest, code_in, ring).vector, 0x80);
    /* IOPL >= CPL needs no bitmap */
    memset(bitmap, 0xff, 0x2001);
    guest_set_flags(&guest, 0x3002);
    CHECK_EQ(guest_run_at(&guest, code_in, ring).rip, AT(code_in_end) + 2);
    guest_set_flags(&guest, 2);
  }
  /* The exit port is for who may write it. */
  guest_set_gpr(&guest, RDX, EXIT_PORT);
  CHECK_EQ(guest_run_at(&guest, code_out, 1).vector, 13);
  CHECK_EQ(guest_run_at(&guest, code_out, 0).rip, AT(code_out_end));
  guest_free(&guest);
}

/* Which bits XCR0 may have is what the caller's table says (leaf 0xd). */
static void extended_state(void) {
  static const softcpu_cpuid table[] = {{0xd, 0, 3, 576, 576, 0}};
  struct guest guest = guest_new(AT(code_add));
  CHECK_EQ(guest_run_at(&guest, code_xsetbv, 0).vector, 6); /* CR4.OSXSAVE is off */
  softcpu_state state = get(&guest);
  state.cr4 |= 1 << 18;
  softcpu_set_cpuid(guest.cpu, table, 1);
  softcpu_set_state(guest.cpu, &state);
  guest_set_gpr(&guest, RAX, 3);
  guest_set_gpr(&guest, RDX, 0);
  CHECK_EQ(guest_run_at(&guest, code_xsetbv, 0).vector, NO_VECTOR);
  CHECK_EQ(get(&guest).xcr0, 3);
  CHECK_EQ(guest_run_at(&guest, code_xsetbv, 1).vector, 13);
  guest_set_gpr(&guest, RAX, 7); /* AVX is not there */
  CHECK_EQ(guest_run_at(&guest, code_xsetbv, 0).vector, 13);
  guest_set_gpr(&guest, RDI, FREE);
  guest_set_gpr(&guest, RSI, GUEST_DATA);
  CHECK_EQ(guest_run_at(&guest, code_xsave, 0).vector, NO_VECTOR);
  CHECK_EQ(guest_gpr(&guest, RBX), 0x1234567890abcdef);
  double one;
  memcpy(&one, guest_at(&guest, GUEST_DATA), 8);
  CHECK(one == 1.0);
  guest_free(&guest);
}

/* As FNINIT and the power-up state have it (SDM vol. 3, table 9-1). */
static void fpu_reset_state(void) {
  struct guest guest = guest_new(AT(code_add));
  guest_set_gpr(&guest, RDI, FREE);
  guest_run_at(&guest, code_fpu_state, 0);
  const uint8_t *area = guest_at(&guest, FREE);
  uint16_t control, status;
  uint32_t mxcsr;
  memcpy(&control, area, 2);
  memcpy(&status, area + 2, 2);
  memcpy(&mxcsr, area + 24, 4);
  CHECK_EQ(control, 0x37f);
  CHECK_EQ(status, 0);
  CHECK_EQ(area[4], 0); /* every register empty */
  CHECK_EQ(mxcsr, 0x1f80);
  guest_free(&guest);
}

static void cpuid(void) {
  static const softcpu_cpuid table[] = {
      {0, SOFTCPU_ANY_INDEX, 0xd, 1, 2, 3}, {4, 1, 41, 42, 43, 44}, {4, SOFTCPU_ANY_INDEX, 4, 4, 4, 4}};
  struct guest guest = guest_new(AT(code_add));
  const struct {
    uint64_t leaf, index, eax, edx;
  } cases[] = {{0, 7, 0xd, 3}, {4, 1, 41, 44}, {4, 2, 4, 4}, {1, 0, 0, 0}, {0x80000001, 0, 0, 0}};
  CHECK(!softcpu_set_cpuid(guest.cpu, table, SOFTCPU_MAX_CPUID + 1));
  CHECK(softcpu_set_cpuid(guest.cpu, table, 3));
  for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    guest_set_gpr(&guest, RAX, cases[i].leaf);
    guest_set_gpr(&guest, RCX, cases[i].index);
    guest_run_at(&guest, code_cpuid, 0);
    CHECK_EQ(guest_gpr(&guest, RAX), cases[i].eax);
    CHECK_EQ(guest_gpr(&guest, RDX), cases[i].edx);
  }
  guest_free(&guest);
}

/* The guest's TSC is the host's, without offset: a guest's paravirtual clock counts on it. */
static void time_stamp_counter(void) {
  struct guest guest = guest_new(AT(code_add));
  uint64_t before = __rdtsc();
  guest_run_at(&guest, code_rdtsc, 0);
  uint64_t seen = guest_gpr(&guest, RDX) << 32 | guest_gpr(&guest, RAX), after = __rdtsc();
  CHECK(before <= seen && seen <= after);
  softcpu_state state = get(&guest);
  state.tsc_offset = 1ull << 40;
  softcpu_set_state(guest.cpu, &state);
  guest_run_at(&guest, code_rdtsc, 0);
  seen = guest_gpr(&guest, RDX) << 32 | guest_gpr(&guest, RAX);
  CHECK(seen - (1ull << 40) - after < 1ull << 36);
  guest_free(&guest);
}

/* What is set is what is got, and what no CPU accepts is refused and changes nothing. */
static void whole_state(void) {
  struct guest guest = guest_new(AT(code_add));
  softcpu_state state = get(&guest), again, bad;
  for (int i = 0; i < 16; i++)
    state.gpr[i] = 0x0102030405060708ull * (i + 1);
  state.rip = 0xffffffff80000000ull;
  state.rflags = 0x247ed7 & ~0x28ull;
  state.cr2 = 0xffff800012345678ull;
  state.star = 0xe023e00800000000ull;
  state.lstar = 0xffff800000001000ull;
  state.cstar = 0xffff800000002000ull;
  state.fmask = 0x47700;
  state.kernel_gs_base = 0xffff888000000000ull;
  state.seg[SOFTCPU_FS].base = 0x7f0012345000ull;
  state.dr[0] = 0x1000;
  state.dr[6] = 0xffff0ff1;
  state.dr[7] = 0x402;
  state.xcr0 = 3;
  state.pat = 0x0407050600070106ull;
  CHECK(softcpu_set_state(guest.cpu, &state));
  again = get(&guest);
  CHECK(!memcmp(&state, &again, sizeof(state)));
  const struct {
    uint64_t *field, value;
  } refused[] = {{&bad.cr0, state.cr0 & ~1ull},
                 {&bad.cr4, state.cr4 & ~0x20ull},
                 {&bad.efer, 0x401},
                 {&bad.efer, state.efer | 1 << 12},
                 {&bad.cr4, state.cr4 | 1 << 12},
                 {&bad.xcr0, 7},
                 {&bad.xcr0, 2}};
  for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
    bad = state;
    bad.gpr[0] = 1;
    *refused[i].field = refused[i].value;
    CHECK(!softcpu_set_state(guest.cpu, &bad));
    again = get(&guest);
    CHECK(!memcmp(&state, &again, sizeof(state)));
  }
  guest_free(&guest);
}

const struct test system_tests[] = {
    {"system: syscall and sysret", syscalls},
    {"system: syscall, swapgs, iretq", syscall_and_iretq},
    {"system: compatibility mode", compatibility_mode},
    {"system: FS and GS bases, swapgs", segment_bases},
    {"system: lldt", local_descriptors},
    {"system: ports and the permission bitmap", ports},
    {"system: xsetbv, xsave", extended_state},
    {"system: the FPU after reset", fpu_reset_state},
    {"system: cpuid", cpuid},
    {"system: rdtsc", time_stamp_counter},
    {"system: whole state in and out", whole_state},
    {0},
};
