/*
 * Rule: a fault of the iretq by which Xen leaves for user mode is the new context's own, with the CPU's
 * vector and error code (xen/arch/x86/x86_64/entry.S, iret_exit_to_guest), whatever table the selectors are
 * in.
 */
#include "test.h"

const char test_title[] = "Selectors that iret cannot load";

#define CODE64 0x00affb000000fffful
#define DATA3 0x00cff3000000fffful
#define ABSENT (1ul << 47)
#define READ_ONLY 0x00cff1000000fffful
#define CONFORMING 0x00afff000000fffful
#define LDT(n) ((n)*8 + 7)
#define GDT(n) ((n)*8 + 3)

STUB(arrive, "int $0x20");

static void run(const char *name, unsigned cs, unsigned ss) {
  struct regs context = {.rip = user_address((void *)arrive),
                         .cs = (uint16_t)cs,
                         .rflags = X86_EFLAGS_IF | 2,
                         .rsp = USER_STACK_TOP - 8,
                         .ss = ss};
  struct regs r;
  /* All that SYSRET could bring back as well. */
  context.rcx = context.rip;
  context.r11 = context.rflags;
  catch_iret(&context, 0, &r);
  if (trap_has_error_code(r.vec))
    print("%s: %s[%lx] +%ld cs %x ss %lx", name, trap_name(r.vec), r.err, (long)(r.rip - context.rip), r.cs,
          r.ss);
  else
    print("%s: %s cs %x ss %lx", name, trap_name(r.vec), r.cs, r.ss);
}

static uint64_t table[2 * 512] __attribute__((aligned(4096)));

static void fill(uint64_t *t) {
  t[1] = CODE64;
  t[2] = DATA3;
  t[3] = CODE64 & ~ABSENT;
  t[4] = DATA3 & ~ABSENT;
  t[5] = READ_ONLY;
  t[6] = CONFORMING;
}

static void update(uint64_t *descriptor, uint64_t value) {
  must("update_descriptor", HYPERVISOR_update_descriptor(machine_of(descriptor), value));
}

/* Data and code as SYSRET has them: what iret may load is what the GDT says at the time. */
static void change(uint64_t *gdt) {
  update(&gdt[10], DATA3);
  update(&gdt[11], CODE64);
  run("GDT, neighbours", GDT(11), GDT(10));
  update(&gdt[11], CODE64 & ~ABSENT);
  run("GDT, cs not present any more", GDT(11), GDT(10));
  update(&gdt[11], CODE64);
  run("GDT, cs present again", GDT(11), GDT(10));
  update(&gdt[10], READ_ONLY);
  run("GDT, ss read-only from now on", GDT(11), GDT(10));
}

void test_main(void) {
  uint64_t *gdt = page_alloc();
  fill(gdt);
  must("read-only", make_readonly(gdt));
  ulong frames[1] = {mfn_of(gdt)};
  must("set_gdt", HYPERVISOR_set_gdt(frames, 512));
  run("GDT", GDT(1), GDT(2));
  run("GDT, cs not present", GDT(3), GDT(2));
  run("GDT, ss not present", GDT(1), GDT(4));
  run("GDT, ss read-only", GDT(1), GDT(5));
  run("GDT, conforming cs", GDT(6), GDT(2));
  run("GDT, cs of RPL 3 for the kernel", 0xe063, GDT(2));
  run("GDT, ss of RPL 0", GDT(1), GDT(2) & ~3u);
  run("no LDT", LDT(1), GDT(2));
  change(gdt);

  fill(table);
  fill(table + 512);
  must("read-only", make_readonly(table));
  must("SET_LDT", mmuext(MMUEXT_SET_LDT, (ulong)table, 1024));
  run("LDT, cs", LDT(1), GDT(2));
  run("LDT, both", LDT(1), LDT(2));
  run("LDT, ss", GDT(1), LDT(2));
  run("LDT, cs not present", LDT(3), LDT(2));
  run("LDT, ss not present", LDT(1), LDT(4));
  run("LDT, a page that is mapped writable", LDT(512 + 1), LDT(2));
  print("CR2 in the LDT: %lx", trap_cr2 - (ulong)table);
  must("read-only", make_readonly(table + 512));
  run("LDT, the same page, read-only", LDT(512 + 1), LDT(512 + 2));
  must("SET_LDT, none", mmuext(MMUEXT_SET_LDT, 0, 0));
  run("LDT, gone", LDT(1), LDT(2));
}
