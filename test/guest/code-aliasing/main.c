/*
 * Rule: code is what memory holds when it is executed, however it came there: through another mapping of its
 * page, by a change of the mapping, by a hypercall that writes the page. On a real CPU that is the hardware's
 * work; an emulated one must forget what it translated.
 */
#include "test.h"

const char test_title[] = "Code that changes under its mapping";

/* mov $value, %eax; ret */
static void put_code(uint8_t *at, uint32_t value) {
  at[0] = 0xb8;
  memcpy(at + 1, &value, 4);
  at[5] = 0xc3;
}

static uint32_t call(ulong va) {
  return ((uint32_t(*)(void))va)();
}

static uint32_t call_user(ulong va) {
  struct regs r, context = {.rip = va,
                            .cs = FLAT_USER_CS64,
                            .rflags = X86_EFLAGS_IF | 2,
                            .rsp = USER_STACK_TOP - 8,
                            .ss = FLAT_USER_SS64};
  set_user_return();
  catch_iret(&context, 0, &r);
  return r.vec == RETURN_VECTOR ? (uint32_t)r.rax : 0xbad;
}

static uint64_t entry(const void *page, uint64_t flags) {
  return ((uint64_t)mfn_of(page) << PAGE_SHIFT) | flags;
}

static void say(const char *name, ulong va) {
  uint32_t kernel = call(va), user = call_user(va);
  print("%s: kernel %x, user %x", name, kernel, user);
}

void test_main(void) {
  uint8_t *page = page_alloc(), *other = page_alloc();
  ulong va = USER_SCRATCH;
  must("map", set_l1e(va, entry(page, PTE_USER)));
  put_code(page, 0x11);
  say("first", va);
  put_code(page, 0x22);
  say("written through the kernel's mapping", va);
  put_code((uint8_t *)va, 0x33);
  say("written through its own mapping", va);

  /* Two more mappings of the same page, executed through each in turn. */
  must("map", set_l1e(va + PAGE_SIZE, entry(page, PTE_USER)));
  must("map", set_l1e(va + 2 * PAGE_SIZE, entry(page, PTE_USER & ~PTE_RW)));
  say("second mapping", va + PAGE_SIZE);
  say("read-only mapping", va + 2 * PAGE_SIZE);
  put_code((uint8_t *)va + PAGE_SIZE, 0x44);
  say("written through the second, run at the first", va);
  say("written through the second, run at the read-only", va + 2 * PAGE_SIZE);
  put_code(page, 0x55);
  say("written through the kernel's, run at the second", va + PAGE_SIZE);
  say("written through the kernel's, run at the first", va);

  /* One block after the other on one page: writing the second must not leave the first stale, nor the other
   * way. */
  put_code(page + 64, 0x66);
  say("second routine of the page", va + 64);
  put_code(page, 0x67);
  say("first routine, rewritten", va);
  put_code(page + 64, 0x68);
  say("second routine, rewritten", va + 64);
  say("first routine, untouched", va);

  put_code(other, 0x77);
  must("remap", set_l1e(va, entry(other, PTE_USER)));
  say("another page in its place", va);
  must("remap", set_l1e(va, entry(page, PTE_USER)));
  say("and back", va);

  /* Writes that are not the guest's own. */
  put_code(other, 0x88);
  must("COPY_PAGE", mmuext(MMUEXT_COPY_PAGE, mfn_of(page), mfn_of(other)));
  say("COPY_PAGE", va);
  put_code(other, 0x99);
  mmu_update_t word = {machine_of(page), *(uint64_t *)other};
  must("mmu_update", HYPERVISOR_mmu_update(&word, 1, NULL, DOMID_SELF));
  say("mmu_update of a word", va);
  put_code(other, 0xaa);
  gnttab_copy_t copy = {.source.domid = DOMID_SELF, .dest.domid = DOMID_SELF, .len = 8};
  copy.source.u.gmfn = mfn_of(other);
  copy.dest.u.gmfn = mfn_of(page);
  must("copy", HYPERVISOR_grant_table_op(GNTTABOP_copy, &copy, 1));
  check(copy.status == GNTST_okay, "copy: %d", copy.status);
  say("GNTTABOP_copy", va);
  put_code(page, 0xbb);
  say("written through the kernel's mapping again", va);
  /* push $0x4c; pop %rax; ret: a descriptor that is not present */
  must("update_descriptor", HYPERVISOR_update_descriptor(machine_of(page), 0xc3584c6a));
  say("update_descriptor", va);

  /* Code that rewrites an instruction just ahead of itself: 3 bytes on, within one block. */
  static const uint8_t ahead[] = {0xc6, 0x05, 0x01, 0x00, 0x00,
                                  0x00, 0xcc,                   /* movb $0xcc, 1(%rip): the immediate below */
                                  0xb8, 0x01, 0x00, 0x00, 0x00, /* mov $1, %eax */
                                  0xc3};
  memcpy(page, ahead, sizeof(ahead));
  uint32_t result = call(va);
  print("rewritten just ahead: %x", result);
}
