/*
 * Rule: a guest kernel reads and writes control registers as if it had them: CR0 may change TS only, CR2 is
 * the guest's arch.cr2, CR3 names its L4 and switches to another, CR4 keeps what Xen owns
 * (xen/arch/x86/pv/emul-priv-op.c read_cr, write_cr; x86_64 xen_pfn_to_cr3 in
 * xen/include/public/arch-x86/xen.h).
 */
#include "test.h"

const char test_title[] = "Control registers";

#define TS 8ul
#define CR(n)                                                                                                \
  static ulong read_cr##n(void) {                                                                            \
    ulong v;                                                                                                 \
    asm volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory");                                               \
    return v;                                                                                                \
  }                                                                                                          \
  STUB(write_cr##n, "mov %rdi, %cr" #n)
CR(0);
CR(2);
CR(3);
CR(4);

STUB(use_fpu, "fnop");
STUB(load_nothing, "mov 0x1238, %eax");

static void cr0(void) {
  ulong before = read_cr0();
  print("cr0: PE %lu MP %lu TS %lu NE %lu WP %lu AM %lu PG %lu", before & 1, before >> 1 & 1, before >> 3 & 1,
        before >> 5 & 1, before >> 16 & 1, before >> 18 & 1, before >> 31 & 1);
  expect_kernel("set TS", write_cr0, before | TS, NO_TRAP, 0);
  expect("TS", !!(read_cr0() & TS), 1);
  expect_kernel("FPU with TS", use_fpu, 0, NM, 0);
  expect("TS after #NM", !!(read_cr0() & TS), 0);
  expect_kernel("clear WP", write_cr0, before & ~(1ul << 16), GP, 0);
  expect_kernel("clear PG", write_cr0, before & ~(1ul << 31), GP, 0);
  expect_kernel("the same again", write_cr0, before & ~TS, NO_TRAP, 0);
  must("fpu_taskswitch", HYPERVISOR_fpu_taskswitch(1));
  asm volatile("clts");
  expect("TS after clts", !!(read_cr0() & TS), 0);
}

static void cr2(void) {
  expect_kernel("load of nothing", load_nothing, 0, PF, 0);
  expect_hex("cr2", read_cr2(), 0x1238);
  expect_kernel("write cr2", write_cr2, 0x5678, NO_TRAP, 0);
  expect_hex("cr2", read_cr2(), 0x5678);
  expect_hex("arch.cr2", shared_info->vcpu_info[0].arch.cr2, 0x5678);
}

static void cr3(void) {
  uint64_t *l4 = page_alloc();
  ulong ours = xen_pfn_to_cr3(mfn_of(kernel_l4()));
  expect_hex("cr3 is our L4", read_cr3() == ours, 1);
  memcpy(l4, kernel_l4(), PAGE_SIZE);
  for (unsigned i = 256; i <= 271; i++)
    l4[i] = 0;
  must("read-only", make_readonly(l4));
  must("pin", mmuext(MMUEXT_PIN_L4_TABLE, mfn_of(l4), 0));
  expect_kernel("another L4", write_cr3, xen_pfn_to_cr3(mfn_of(l4)), NO_TRAP, 0);
  expect_hex("cr3 is it", read_cr3() == xen_pfn_to_cr3(mfn_of(l4)), 1);
  expect_kernel("a page that is no L4", write_cr3, xen_pfn_to_cr3(mfn_of(page_alloc())), GP, 0);
  expect_kernel("no frame", write_cr3, PTE_FRAME, GP, 0);
  expect_hex("cr3 is still it", read_cr3() == xen_pfn_to_cr3(mfn_of(l4)), 1);
  expect_kernel("back", write_cr3, ours, NO_TRAP, 0);
  must("unpin", mmuext(MMUEXT_UNPIN_TABLE, mfn_of(l4), 0));
}

static void cr4(void) {
  ulong before = read_cr4();
  print("cr4: PAE %lu VMXE %lu SMEP %lu SMAP %lu", before >> 5 & 1, before >> 13 & 1, before >> 20 & 1,
        before >> 21 & 1);
  expect_kernel("the same again", write_cr4, before, NO_TRAP, 0);
  expect_hex("cr4", read_cr4() == before, 1);
}

void test_main(void) {
  cr0();
  cr2();
  cr3();
  cr4();
}
