/* Control registers, MSRs and ports: what a privileged instruction gives a kernel that is not privileged. */
#include "dump.h"

STUB(read_cr0, "mov %cr0, %rax; int $0x20");
STUB(read_cr4, "mov %cr4, %rax; int $0x20");
STUB(read_xcr0, "xor %ecx, %ecx; xgetbv; shl $32, %rdx; or %rdx, %rax; int $0x20");
STUB(read_msr, "mov %edi, %ecx; rdmsr; shl $32, %rdx; or %rdx, %rax; int $0x20");
STUB(read_port, "mov %edi, %edx; xor %eax, %eax; in %dx, %eax; int $0x20");

static void dump_read(const char *name, ulong number, void (*read)(ulong), ulong arg) {
  struct regs r;
  if (!catch_kernel(read, arg, &r)) error("%s %lx came back", name, number);
  if (r.vec == RETURN_VECTOR)
    print("%s %lx: %lx", name, number, r.rax);
  else
    print("%s %lx: %s", name, number, trap_name(r.vec));
}

/* MSRs of the architecture, AMD's and Intel's, of other hypervisors, and none at all. Those that hold the
 * time, or what the guest itself has set, are only asked for. */
static void dump_msrs(void) {
  static const uint32_t msrs[] = {
      0x0,        0x1,        0x17,       0x1b,       0x2a,       0x3a,       0x48,       0x49,
      0x8b,       0xce,       0xe7,       0xe8,       0xfe,       0x10a,      0x10b,      0x11e,
      0x122,      0x174,      0x175,      0x176,      0x179,      0x17a,      0x17b,      0x198,
      0x199,      0x19a,      0x19c,      0x1a0,      0x1a2,      0x1ad,      0x1b0,      0x1d9,
      0x1db,      0x200,      0x250,      0x277,      0x2ff,      0x345,      0x38d,      0x38f,
      0x400,      0x401,      0x480,      0x4e0,      0x560,      0x606,      0x6a0,      0x6e0,
      0x802,      0x80f,      0x832,      0x838,      0xc80,      0xd90,      0xda0,      0x40000000,
      0x40000001, 0x40000020, 0x40000073, 0x4b564d00, 0x4b564d01, 0xc0000080, 0xc0000081, 0xc0000082,
      0xc0000083, 0xc0000084, 0xc0000103, 0xc0000104, 0xc0010000, 0xc0010010, 0xc0010015, 0xc001001f,
      0xc0010055, 0xc0010058, 0xc0010061, 0xc0010063, 0xc0010064, 0xc0010111, 0xc0010112, 0xc0010114,
      0xc0010117, 0xc001011f, 0xc0010140, 0xc0010141, 0xc0011005, 0xc0011020, 0xc0011022, 0xc0011029,
      0xc001102a, 0xffffffff};
  for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
    dump_read("msr", msrs[i], read_msr, msrs[i]);
  static const uint32_t moving[] = {0x10, 0xc0000100, 0xc0000101, 0xc0000102};
  for (unsigned i = 0; i < ARRAY_SIZE(moving); i++) {
    struct regs r;
    catch_kernel(read_msr, moving[i], &r);
    print("msr %x: %s", moving[i], r.vec == RETURN_VECTOR ? "readable" : trap_name(r.vec));
  }
}

void dump_registers(void) {
  dump_read("cr", 0, read_cr0, 0);
  dump_read("cr", 4, read_cr4, 0);
  dump_read("xcr", 0, read_xcr0, 0);
  uint32_t mxcsr;
  uint16_t fcw;
  asm volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(fcw));
  print("mxcsr %x, fcw %x", mxcsr, fcw);
  print("rflags, without arithmetic: %lx", read_rflags() & ~0x8d5ul);
  print("debug registers 6 and 7: %lx %lx", HYPERVISOR_get_debugreg(6), HYPERVISOR_get_debugreg(7));
  dump_msrs();
  /* PIC, PIT, keyboard, RTC, PCI, a UART, Bochs's and VMware's debugging ports, ACPI's timer; without IOPL
   * first. */
  static const uint16_t ports[] = {0x20,  0x21,  0x40,   0x43,  0x60,  0x61,  0x64,   0x70,
                                   0x71,  0x92,  0xa1,   0xb2,  0xe9,  0x3f8, 0x3fd,  0x402,
                                   0x510, 0x608, 0xb008, 0xcf8, 0xcfc, 0xcf9, 0x5658, 0xffff};
  dump_read("port without IOPL", ports[0], read_port, ports[0]);
  physdev_set_iopl_t iopl = {.iopl = 1};
  must("set_iopl", HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, &iopl));
  for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
    dump_read("port", ports[i], read_port, ports[i]);
}
