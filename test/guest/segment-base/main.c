/*
 * Rule: HYPERVISOR_set_segment_base sets the FS base, the user GS base (SEGBASE_GS_USER), the kernel GS base
 * (SEGBASE_GS_KERNEL) and the user GS selector; Xen swaps the two GS bases whenever the guest crosses between
 * kernel and user, so each mode has its own; writes of MSR_FS_BASE, MSR_GS_BASE and MSR_KERNEL_GS_BASE mean
 * the same (xen/arch/x86/x86_64/mm.c do_set_segment_base, domain.c toggle_guest_mode).
 */
#include "test.h"

const char test_title[] = "Segment bases";

static struct {
  uint64_t fs, kernel, user, other;
} * words; /* in the scratch page, which both modes see at the same address */

STUB(read_gs, "mov %gs:0, %rax");
STUB(read_fs, "mov %fs:0, %rax");
STUB(load_gs_null, "xor %eax, %eax; mov %eax, %gs; mov %gs:0, %rax");
STUB(load_gs_flat, "mov $0xe02b, %eax; mov %eax, %gs; mov %gs:0, %rax");
STUB(gs_selector, "mov %gs, %eax; movzwl %ax, %eax");
STUB(do_swapgs, "swapgs");
STUB(ud, "ud2");

#define BASE(field) ((ulong)words + __builtin_offsetof(__typeof__(*words), field))

static uint64_t gs_now(void) {
  uint64_t v;
  asm volatile("mov %%gs:0, %0" : "=r"(v));
  return v;
}

static uint64_t fs_now(void) {
  uint64_t v;
  asm volatile("mov %%fs:0, %0" : "=r"(v));
  return v;
}

static const char *word_name(uint64_t v) {
  return v == words->fs       ? "fs word"
         : v == words->kernel ? "kernel word"
         : v == words->user   ? "user word"
         : v == words->other  ? "other word"
                              : "something else";
}

static void say_user(const char *name, void (*fn)(ulong)) {
  struct regs r;
  catch_user(fn, 0, &r);
  if (r.vec == RETURN_VECTOR)
    print("user, %s: %s", name, word_name(r.rax));
  else
    print("user, %s: %s[%lx]", name, trap_name(r.vec), r.err);
}

static void wrmsr(uint32_t msr, uint64_t value) {
  asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static uint64_t rdmsr(uint32_t msr) {
  uint32_t low, high;
  asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
  return low | (uint64_t)high << 32;
}

void test_main(void) {
  uint64_t *page = page_alloc();
  must("map", set_l1e(USER_SCRATCH, ((uint64_t)mfn_of(page) << PAGE_SHIFT) | PTE_USER));
  words = (void *)USER_SCRATCH;
  words->fs = 0xf5;
  words->kernel = 0x6e;
  words->user = 0x05;
  words->other = 0x99;

  expect_rc("FS", HYPERVISOR_set_segment_base(SEGBASE_FS, BASE(fs)), 0);
  expect_rc("GS_KERNEL", HYPERVISOR_set_segment_base(SEGBASE_GS_KERNEL, BASE(kernel)), 0);
  expect_rc("GS_USER", HYPERVISOR_set_segment_base(SEGBASE_GS_USER, BASE(user)), 0);
  print("kernel, fs: %s", word_name(fs_now()));
  print("kernel, gs: %s", word_name(gs_now()));
  say_user("fs", read_fs);
  say_user("gs", read_gs);
  print("kernel after user, gs: %s", word_name(gs_now()));
  print("kernel after user, fs: %s", word_name(fs_now()));
  expect_user("swapgs", do_swapgs, 0, GP, 0);
  say_user("gs", read_gs);
  print("kernel, gs: %s", word_name(gs_now()));

  expect_rc("GS_USER, other", HYPERVISOR_set_segment_base(SEGBASE_GS_USER, BASE(other)), 0);
  print("kernel, gs: %s", word_name(gs_now()));
  say_user("gs", read_gs);
  expect_rc("FS, other", HYPERVISOR_set_segment_base(SEGBASE_FS, BASE(other)), 0);
  say_user("fs", read_fs);

  /* The MSRs are emulated: GS_BASE is the running (kernel) base, KERNEL_GS_BASE the user's. */
  wrmsr(0xc0000100, BASE(fs));
  wrmsr(0xc0000101, BASE(other));
  wrmsr(0xc0000102, BASE(user));
  print("wrmsr, kernel fs: %s", word_name(fs_now()));
  print("wrmsr, kernel gs: %s", word_name(gs_now()));
  say_user("gs after wrmsr", read_gs);
  expect_hex("rdmsr FS_BASE", rdmsr(0xc0000100) == BASE(fs), 1);
  expect_hex("rdmsr GS_BASE", rdmsr(0xc0000101) == BASE(other), 1);
  expect_hex("rdmsr KERNEL_GS_BASE", rdmsr(0xc0000102) == BASE(user), 1);

  /* Loading a selector in ring 3 loads its base: flat segments have 0, which is not mapped. */
  say_user("gs after loading the flat selector", load_gs_flat);
  print("kernel, gs: %s", word_name(gs_now()));
  expect_rc("GS_USER_SEL, flat", HYPERVISOR_set_segment_base(SEGBASE_GS_USER_SEL, 0xe02b), 0);
  struct regs r;
  catch_user(gs_selector, 0, &r);
  expect_hex("user, gs selector", r.rax, 0xe02b);
  say_user("gs of the flat selector", read_gs);
  print("kernel, gs: %s", word_name(gs_now()));
  expect_rc("GS_USER_SEL, null", HYPERVISOR_set_segment_base(SEGBASE_GS_USER_SEL, 0), 0);
  expect_rc("GS_USER after it", HYPERVISOR_set_segment_base(SEGBASE_GS_USER, BASE(user)), 0);
  say_user("gs", read_gs);
  say_rc("GS_USER_SEL, past the GDT", HYPERVISOR_set_segment_base(SEGBASE_GS_USER_SEL, 0xfffb));

  say_rc("FS, not canonical", HYPERVISOR_set_segment_base(SEGBASE_FS, 0x0000900000000000));
  say_rc("GS_KERNEL, not canonical", HYPERVISOR_set_segment_base(SEGBASE_GS_KERNEL, 0x0000900000000000));
  say_rc("GS_USER, not canonical", HYPERVISOR_set_segment_base(SEGBASE_GS_USER, 0x0000900000000000));
  say_rc("base 4", HYPERVISOR_set_segment_base(4, 0));
  print("kernel, gs: %s", word_name(gs_now()));
  say_user("gs", read_gs);
}
