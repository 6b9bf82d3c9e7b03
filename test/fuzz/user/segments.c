/* A GDT and an LDT of everything that a guest may have there. */
#include "fuzz.h"

#define PRESENT (1ul << 47)
#define CODE64 0x00affb000000fffful
#define CODE32 0x00cffb000000fffful
#define CODE16 0x008ffb000000fffful
#define CONFORMING 0x00affe000000fffful
#define DATA3 0x00cff3000000fffful
#define READ_ONLY 0x00cff1000000fffful
#define EXPAND_DOWN 0x00cff7000000fffful
#define DATA16 0x008ff3000000fffful
#define BASE(address) (((address)&0xffffff) << 16 | ((address) >> 24 & 0xff) << 56)

static const uint64_t kinds[] = {
    0,
    CODE64,
    CODE32,
    CODE16,
    CONFORMING,
    DATA3,
    READ_ONLY,
    EXPAND_DOWN,
    DATA16,
    CODE64 & ~PRESENT,
    DATA3 & ~PRESENT,
    CODE32 | BASE(CODE_VA),
    CODE16 | BASE(CODE_VA),
    DATA3 | BASE(DATA_VA),
    DATA16 | BASE(DATA_VA),
    DATA3 | BASE(0xfffff000ul),
    CODE32 | BASE(0xfffff000ul),
};

static uint64_t gdt[512] __attribute__((aligned(4096)));
static uint64_t ldt[2 * 512] __attribute__((aligned(4096)));

void install_tables(void) {
  for (unsigned i = 0; i < 512; i++) {
    gdt[i] = kinds[i % ARRAY_SIZE(kinds)];
    ldt[i] = kinds[i % ARRAY_SIZE(kinds)];
    ldt[512 + i] = kinds[i % ARRAY_SIZE(kinds)];
  }
  must("read-only", make_readonly(gdt));
  ulong frames[1] = {mfn_of(gdt)};
  must("set_gdt", HYPERVISOR_set_gdt(frames, 512));
  /* The LDT's second page cannot be used: it is mapped writable. */
  must("read-only", make_readonly(ldt));
  must("SET_LDT", mmuext(MMUEXT_SET_LDT, (ulong)ldt, 1000));
}

uint16_t any_selector(void) {
  static const uint16_t xens[] = {FLAT_USER_CS64, FLAT_USER_SS64, FLAT_USER_CS32, FLAT_KERNEL_CS64,
                                  0xe019,         0xe041,         0xe051,         0xe059,
                                  0xe061,         0xe069,         0xe071,         0xe07b};
  switch (below(4)) {
  case 0:
    return xens[below(ARRAY_SIZE(xens))] | (uint16_t)(one_in(2) ? 3 : 0);
  case 1:
    return (uint16_t)(below(ARRAY_SIZE(kinds)) * 8 + 3);
  case 2:
    return (uint16_t)((below(16) ? below(ARRAY_SIZE(kinds)) : below(1024)) * 8 + 7);
  default:
    return (uint16_t)draw();
  }
}
