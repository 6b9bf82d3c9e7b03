/* A kernel can write the IDT, and so be the monitor: what it does there, it does to itself alone. */
#include "breaker.h"
#include "vcpu_area.h"

#define VECTOR 0x21
#define GATE_OF_ALL_RINGS 0xee00ul

/* The function stands in rsi. The stack is the monitor's. */
void ring0_gate(void);
asm(".text\nring0_gate:\n  call *%rsi\n  iretq\n");

void open_ring0(void) {
  volatile u64 *gate = (u64 *)(MONITOR_VA + IDT_OFFSET) + 2 * VECTOR;
  ulong entry = (ulong)ring0_gate;
  gate[1] = entry >> 32;
  gate[0] =
      (entry & 0xffff) | (u64)SEL_MONITOR_CS << 16 | GATE_OF_ALL_RINGS << 32 | (entry >> 16 & 0xffff) << 48;
}

/* An exit like the monitor's, for any reason, with any arguments. */
static void exit_somehow(void) {
  struct vcpu_area *area = (struct vcpu_area *)(MONITOR_VA + BLOCK_OFFSET(0) + BLOCK_VCPU_AREA);
  area->exit_reason = one_in(8) ? any_value() : below(10);
  for (unsigned i = 0; i < sizeof(area->hypercall) / 8; i++)
    area->hypercall[i] = any_value();
  area->hypercall[0] = below(49);
  if (area->hypercall[0] == 6 || area->hypercall[0] == 29)
    area->hypercall[0] = 24; /* sched_op would end it */
  asm volatile("outb %%al, %0" ::"i"(EXIT_PORT) : "memory");
}

static void write_msr(void) {
  static const uint32_t msrs[] = {0x10,       0x1b,       0x174,      0x1d9,      0x277,
                                  0x2ff,      0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083,
                                  0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103};
  uint64_t value = any_value();
  asm volatile("wrmsr" ::"c"(one_in(8) ? (uint32_t)draw() : PICK(msrs)), "a"((uint32_t)value),
               "d"((uint32_t)(value >> 32)));
}

static void load_table(void) {
  struct {
    uint16_t limit;
    uint64_t base;
  } __attribute__((packed)) table = {(uint16_t)draw(), any_value()};
  if (one_in(2))
    asm volatile("lgdt %0" ::"m"(table));
  else
    asm volatile("lidt %0" ::"m"(table));
}

static void load_selector(void) {
  uint16_t selector = (uint16_t)(one_in(2) ? draw() : 0xe000 + below(16) * 8);
  if (one_in(2))
    asm volatile("lldt %0" ::"r"(selector));
  else
    asm volatile("ltr %0" ::"r"(selector));
}

static void act(void) {
  switch (below(16)) {
  case 0:
    asm volatile("mov %0, %%cr0" ::"r"(one_in(2) ? any_value() : 0x80050033 ^ 1ul << below(32)));
    break;
  case 1:
    asm volatile("mov %0, %%cr3" ::"r"(any_value()) : "memory");
    break;
  case 2:
    asm volatile("mov %0, %%cr4" ::"r"(one_in(2) ? any_value() : 0x6a0 ^ 1ul << below(24)));
    break;
  case 3:
    asm volatile("mov %0, %%cr8" ::"r"(any_value()));
    break;
  case 4:
    asm volatile("mov %0, %%dr7" ::"r"(any_value() & 0xffffffff));
    break;
  case 5:
    asm volatile("xsetbv" ::"c"((uint32_t)below(3)), "a"((uint32_t)any_value()), "d"(0));
    break;
  case 6:
    if (one_in(2)) asm volatile("cli");
    asm volatile("hlt");
    break;
  case 7:
    if (!one_in(4)) break;
    asm volatile("cli; 1: jmp 1b");
    break;
  case 8:
    asm volatile("outl %%eax, %%dx" ::"a"((uint32_t)any_value()), "d"((uint16_t)draw()));
    break;
  case 9:
    asm volatile("swapgs; invd; wbinvd");
    break;
  case 10:
    load_selector();
    break;
  case 11:
    load_table();
    break;
  case 12:
  case 13:
    write_msr();
    break;
  default:
    exit_somehow();
  }
}

void enter_ring0(ulong unused) {
  (void)unused;
  ulong to = (ulong)act;
  asm volatile("int %1"
               : "+S"(to)
               : "i"(VECTOR)
               : "rax", "rcx", "rdx", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
}

void exit_from_ring1(ulong unused) {
  (void)unused;
  asm volatile("outb %%al, %0" ::"i"(EXIT_PORT) : "memory");
}
