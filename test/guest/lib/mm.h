/*
 * Page tables, MFNs and PFNs. On Xen a guest's frames are scattered: nothing here takes MFN for PFN.
 * Everything lives in the kernel image's .bss, which the domain builder mapped at VIRT_BASE + (pfn << 12).
 */
#ifndef LIB_MM_H
#define LIB_MM_H

#include "xen.h"

typedef unsigned long ulong;

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ul
#define PAGE_MASK (~(PAGE_SIZE - 1))

#define PTE_P 1ul
#define PTE_RW 2ul
#define PTE_US 4ul
#define PTE_PWT 8ul
#define PTE_PCD 0x10ul
#define PTE_A 0x20ul
#define PTE_D 0x40ul
#define PTE_PSE 0x80ul
#define PTE_G 0x100ul
#define PTE_AVAIL 0xe00ul
#define PTE_NX (1ul << 63)
#define PTE_FRAME 0x000ffffffffff000ul
/* What a kernel page and a table have; Xen itself adds U to kernel pages of a 64-bit guest. */
#define PTE_KERNEL (PTE_P | PTE_RW | PTE_A | PTE_D)
#define PTE_USER (PTE_KERNEL | PTE_US)
#define PTE_TABLE (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)

/* Ring 3 sees .user here, and its stack, test pages and nothing else: slot 0 of both L4s. */
#define USER_BASE 0x400000ul
#define USER_STACK_TOP 0x600000ul
/* Free 2 MiB of address space with its L1 present and empty, for both modes. */
#define USER_SCRATCH 0x800000ul

extern ulong *const m2p;

ulong mfn_of(const void *va);
/* The kernel's mapping of a frame of its own image, NULL for any other frame. */
void *va_of_mfn(ulong mfn);
/* A zeroed page from .bss, mapped writable; there are 256 of them and none comes back. */
void *page_alloc(void);

/* The entry that maps va at level 1..4, in the running L4; NULL when a higher level is not present. */
uint64_t *pte_of(ulong va, unsigned level);
/* Machine address of an entry, as mmu_update takes it. */
uint64_t machine_of(const void *va);

/* Hypercalls: change the L1 entry of a kernel page, or any entry by its machine address. */
long set_l1e(ulong va, uint64_t value);
long set_pte(uint64_t *pte, uint64_t value);
long make_readonly(void *page);
long make_writable(void *page);
long mmuext(unsigned cmd, ulong arg1, ulong arg2);

/* Builds slot 0 and the user L4 and hands them to Xen; called before test_main(). */
void user_init(void);
/* Where ring 3 finds something of .user. */
ulong user_address(const void *kernel_va);
/* The user L4's page, and the current kernel L4. */
extern uint64_t *user_l4;
uint64_t *kernel_l4(void);

#endif
