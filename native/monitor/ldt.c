/*
 * The LDT: the guest names a linear address. A page of it is mapped into Xen's window when a selector in it
 * is first loaded, if it then holds only harmless descriptors (handle_ldt_mapping_fault in
 * xen/arch/x86/traps.c, pv_map_ldt_shadow_page in pv/mm.c).
 */
#include "monitor.h"

#define PFEC_user_mode 4ul
#define LDT_PAGES_SIZE 0x10000ul

static u64 window(const struct vcpu_area *v) {
  return LDT_VA + v->id * BLOCK_SIZE;
}

static s64 exit_for_ldt(struct vcpu_area *v, u64 what) {
  v->hypercall[0] = what;
  exit_to_hypervisor(v, MONITOR_EXIT_LDT);
  return v->hypercall_result;
}

/* The descriptor stands beside the TSS's in the reserved page. */
void load_ldt(struct vcpu_area *v) {
  u64 *gdt = (u64 *)(GDT_VA + v->id * BLOCK_SIZE + (SEL_LDT & ~7));
  u64 limit = v->ldt_entries * 8 - 1, base = window(v);
  if (v->ldt_entries) {
    gdt[0] = (limit & 0xffff) | (base & 0xffffff) << 16 | 0x82ul << 40 | (limit >> 16 & 15) << 48 |
             (base >> 24 & 0xff) << 56;
    gdt[1] = base >> 32;
  }
  __asm__ volatile("lldt %w0" ::"r"(v->ldt_entries ? SEL_LDT : 0) : "memory");
}

/* pv_destroy_ldt: its pages may be other descriptors from now on, or none. */
void unmap_ldt(struct vcpu_area *v) {
  exit_for_ldt(v, LDT_UNMAP);
}

int is_ldt_fault(const struct vcpu_area *v, u64 address, u64 error_code) {
  return address - window(v) < LDT_PAGES_SIZE && !(error_code & PFEC_user_mode);
}

int map_ldt(struct vcpu_area *v, u64 address) {
  u64 offset = address - window(v);
  return offset / 8 < v->ldt_entries && !exit_for_ldt(v, offset);
}

/* The page cannot be the LDT's: the guest's fault is at the address that it gave. */
void inject_ldt_fault(struct vcpu_area *v, struct regs *r, u64 address, u64 error_code) {
  u64 offset = address - window(v), linear = v->ldt_base + offset;
  if ((u64)((s64)(linear << 16) >> 16) == linear)
    inject_page_fault(v, r, linear, error_code);
  else
    inject_exception(v, r, TRAP_gp_fault, (offset & ~7ul & 0xffff) | 4);
}
