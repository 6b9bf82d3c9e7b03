/*
 * The memory that the monitor and the hypervisor share. Everything here lies in guest memory and the guest's
 * kernel (ring 1, supervisor for paging) can write it: the hypervisor treats each field that it reads as
 * hostile. src/xenner/monitor/vcpu-area.ts holds the same layout; test/unit/monitor checks one against the
 * other.
 */
#ifndef XENNER_VCPU_AREA_H
#define XENNER_VCPU_AREA_H

#ifndef __ASSEMBLER__
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long s64;
#endif

/* Xen's hole in every guest L4: slots 256..271 (xen/include/public/arch-x86/xen-x86_64.h). */
#define HOLE_START 0xffff800000000000ul
#define HOLE_END 0xffff880000000000ul
#define HOLE_FIRST_SLOT 256
#define HOLE_LAST_SLOT 271
/* Slot 256: the machine-to-phys table (read-only), the GDTs and the monitor. Slot 258: all of guest memory.
 */
#define XEN_SLOT 256
#define DIRECT_SLOT 258
#define GDT_VA 0xffff800040000000ul
#define LDT_VA 0xffff800040200000ul
#define MONITOR_VA 0xffff800080000000ul
#define DIRECT_VA 0xffff810000000000ul

/* The monitor's image: text, then the domain area and the IDT, then one block a vCPU. */
#define MONITOR_TEXT_MAX 0xe000
#define DOMAIN_AREA 0xe000
#define IDT_OFFSET 0xf000
#define BLOCK_SIZE 0x10000ul
#define BLOCK_OFFSET(vcpu) (BLOCK_SIZE * ((vcpu) + 1))
/* Inside a block. The syscall stub reaches the rest by offsets from its own address. */
#define BLOCK_TSS 0x0000
#define BLOCK_STUB 0x1000
#define BLOCK_VCPU_AREA 0x2000
#define BLOCK_STACK_TOP 0x8000
#define BLOCK_INTERRUPT_TOP 0x9000
#define BLOCK_IST_TOP 0xa000
#define BLOCK_DEBUG_TOP 0xc000
#define BLOCK_PTWR_TABLES 0xc000 /* one a level; L4 first */

#define MAX_VCPUS 16

/* Selectors in the reserved GDT page (xen-x86_64.h: FLAT_*), then the monitor's own. */
#define SEL_USER_CS32 0xe023
#define SEL_USER_DS 0xe02b
#define SEL_USER_CS64 0xe033
#define SEL_TSS 0xe040
#define SEL_MONITOR_CS 0xe050
#define SEL_MONITOR_SS 0xe058
#define SEL_KERNEL_CS 0xe061
#define SEL_KERNEL_SS 0xe069
#define SEL_LDT 0xe070
/* What a guest kernel is shown for its own selectors. */
#define SEL_SHOWN_KERNEL_CS 0xe030
#define SEL_SHOWN_KERNEL_SS 0xe02b

#define EXIT_PORT 0x9e
#define BELL_PORT 0xa0 /* 32 bits: the event channel that was sent on */
#define FIRST_INTERRUPT 32
#define INT80_VECTOR 0x80 /* an exception rather: a gate that user code may use */
#define KICK_VECTOR 0xf0
#define TIMER_VECTOR 0xf1 /* of the local APIC, where there is one */
/* Pseudo vectors: the two syscall entries, and a trap of which nothing is left to do. */
#define VECTOR_SYSCALL 0x100
#define VECTOR_SYSCALL_COMPAT 0x101
#define VECTOR_NONE 0x102

/* vcpu_area.exit_reason */
#define MONITOR_EXIT_HYPERCALL 1 /* nr and args in hypercall[]; the result goes to hypercall_result */
#define MONITOR_EXIT_TIMER 2     /* timer_deadline or poll_timeout is earlier than timer_armed */
#define MONITOR_EXIT_PTWR 3      /* hypercall[0..2] = gpa of the entry, old, new; result 0 or an errno */
#define MONITOR_EXIT_CRASH 4     /* the guest cannot go on; crash_reason says why */
#define MONITOR_EXIT_PANIC 5     /* a fault in the monitor itself */
#define MONITOR_EXIT_LDT                                                                                     \
  6 /* hypercall[0] = offset of an LDT page to map, or LDT_UNMAP; result 0 or an errno */
#define MONITOR_EXIT_HYPERCALL_PAGE 7 /* hypercall[0] = what was written to the MSR; result 0 or an errno */
#define MONITOR_EXIT_FLUSH_ALL 8      /* the other vCPUs have to flush their TLBs before they go on */
#define MONITOR_EXIT_DEBUG                                                                                   \
  9 /* stopped for the debugger; hypercall[0] = 0 on the way back to the guest, 1 asleep */
#define MONITOR_EXIT_DEBUG_TRAP                                                                              \
  10 /* a #DB; hypercall[0] = DR6, in the answer what of it is the guest's; result 0: nothing is */

#define MONITOR_EXIT_REST 11 /* vcpu_area.rest; nothing of the monitor's is half done */
#define MONITOR_EXIT_NMI 12  /* vcpu_area.nmi; the registers are the guest's */

/* Flushes of a TLB: nothing, one page with its address in the upper bits, or everything. */
#define FLUSH_NOTHING 0
#define FLUSH_PAGE 1
#define FLUSH_EVERYTHING 0xfffffffffffffffful

#define LDT_UNMAP 0xfffffffffffffffful

/* vcpu_area.crash_reason */
#define CRASH_NO_HANDLER 1 /* exception without a registered handler */
#define CRASH_BAD_STACK 2  /* the kernel stack cannot take a bounce frame */
#define CRASH_BAD_IRET 3   /* the iret frame cannot be read */
#define CRASH_DOUBLE_FAULT 4
#define CRASH_NO_USER_TABLES 5 /* to user mode without MMUEXT_NEW_USER_BASEPTR */

/* vcpu_area.pending: what to load into the CPU before the guest runs again. */
#define PENDING_CR3 (1u << 0)
#define PENDING_FS_BASE (1u << 1)
#define PENDING_GS_BASE_KERNEL (1u << 2)
#define PENDING_GS_BASE_USER (1u << 3)
#define PENDING_GS_SELECTOR (1u << 4)
#define PENDING_SWAPGS (1u << 5)
#define PENDING_CR0_TS (1u << 6)
#define PENDING_DEBUGREGS (1u << 7)
#define PENDING_LDT (1u << 8)
#define PENDING_INVLPG (1u << 9) /* invlpg_address only; PENDING_CR3 covers it */
#define PENDING_XCR0 (1u << 10)
#define PENDING_FLUSH_ALL (1u << 11)    /* the TLB of every vCPU; of domains that have several */
#define PENDING_SLEEP (1u << 12)        /* until an event, or what poll_* say */
#define PENDING_TIMER (1u << 13)        /* timer_deadline is another one */
#define PENDING_FLUSH_OTHERS (1u << 14) /* the TLBs of the vCPUs in flush_mask */

/* vcpu_area.debug: what a debugger wants. Only the hypervisor writes it, also while the vCPU runs. */
#define DEBUG_STOP 1  /* the guest does not go on, but for a step, and gets no events */
#define DEBUG_TRAPS 2 /* #DB may be the debugger's */

/* vcpu_area.sysret_cs: no selector. 0 is one that an iret may name, to the kernel. */
#define SYSRET_NONE 0xffffffff

/* domain_area.flags */
#define DOMAIN_FAST_PATHS 1
/* Interrupts come through an x2APIC, which waits for the end of each; its timer is the vCPU's. */
#define DOMAIN_LAPIC 2

/*
 * domain_area.ports: a byte an event channel, with the vCPU that its events go to in the lower bits. 0 where
 * the hypervisor has to serve EVTCHNOP_send.
 */
#define NR_PORTS 4096  /* EVTCHN_2L_NR_CHANNELS */
#define PORT_BELL 0x40 /* BELL_PORT reaches the other end, a back end, without stopping the vCPU */
#define PORT_IPI 0x80

#define MAX_POLL_PORTS 128 /* do_poll (xen/common/sched/core.c) */

/*
 * Page types: one u64 a frame, as Xen's type_info (xen/arch/x86/include/asm/mm.h) in little. The upper half
 * is domain_area.flush_clock when the frame was last writable.
 */
#define PGT_none 0
#define PGT_l1_page_table 1
#define PGT_l2_page_table 2
#define PGT_l3_page_table 3
#define PGT_l4_page_table 4
#define PGT_seg_desc_page 5
#define PGT_writable_page 6
#define PGT_type_mask 7ul
#define PGT_pinned (1ul << 3)
/* Not the guest's own RAM: xen-heap pages shared with it (shared_info, grant frames) and frames it may never
 * map. */
#define PGC_shared (1ul << 4)
#define PGC_xen (1ul << 5)
#define PGT_count_shift 8
#define PGT_count_one (1ul << PGT_count_shift)
#define PGT_count_mask 0xffffff00ul
#define PGT_stamp_shift 32

#ifndef __ASSEMBLER__

/* Guest registers as the entry code leaves them on the monitor's stack; low to high addresses. */
struct regs {
  u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
  u64 vector, error_code, rip, cs, rflags, rsp, ss;
};

struct trap_handler {
  u64 address;
  u16 cs;
  u16 flags; /* TI_GET_DPL in bits 0-1, TI_GET_IF in bit 2 (public/arch-x86/xen.h) */
  u32 reserved;
};

/* A write to a page-table entry through a read-only mapping, while the guest executes that one instruction.
 */
struct ptwr {
  u64 active;
  u64 address;   /* faulting linear address */
  u64 entry_gpa; /* the entry that is written */
  u64 rflags;    /* the guest's own TF and IF */
  u64 old;
};

/* vcpu_runstate_info (xen/include/public/vcpu.h), times in ns of system time. */
struct runstate {
  u64 state, entry_time, time[4];
};

struct vcpu_area {
  u64 scratch; /* guest rsp, between the syscall stub and the stack */
  u64 scratch_rax;
  u64 scratch_rcx;
  u64 user; /* the guest was in user mode; SYSCALL itself does not tell */
  u64 exit_reason;
  u64 crash_reason;
  u64 hypercall[7];
  u64 hypercall_result;
  u64 registers; /* offset of struct regs from MONITOR_VA */
  u64 pending;
  u64 cr3; /* the guest's kernel L4, and its user L4 (kept, not loaded) */
  u64 user_cr3;
  u64 cr2;
  u64 vcpu_info; /* address in the direct map */
  u64 kernel_sp;
  u64 kernel_ss;
  u64 event_callback;
  u64 failsafe_callback;
  u64 syscall_callback;
  u64 syscall_flags; /* CALLBACKF_mask_events */
  u64 fs_base;
  u64 gs_base_kernel;
  u64 gs_base_user;
  u64 gs_selector;
  u64 cr0_ts;
  u64 cr4;
  u64 dr[8];
  u64 ldt_base;
  u64 ldt_entries;
  u64 xcr0;
  u64 invlpg_address;
  u64 timer_deadline; /* system time, ns; 0: none */
  u64 timer_armed;    /* when the local APIC's timer comes, or the hypervisor looks; 0: never */
  u64 timer_port;     /* where VIRQ_TIMER goes; 0: nowhere */
  u64 id;
  u64 fast_paths; /* DOMAIN_FAST_PATHS, where the syscall stub can reach it */
  u64 iopl;
  u64 sysret_cs; /* what SYSRET loads now; SYSRET_NONE when a descriptor has changed */
  u64 sysret_ss;
  u64 iobitmap; /* PHYSDEVOP_set_iobitmap: a guest linear address */
  u64 iobitmap_ports;
  u64 ldt_mapped; /* pages of the LDT that have been mapped since it was set */
  u64 rest;       /* leave by MONITOR_EXIT_REST on the way back to the guest */
  u64 nmi;        /* leave by MONITOR_EXIT_NMI there; it also ends a sleep */
  struct runstate runstate;
  u64 runstate_area; /* the guest's copy of that: a linear address; 0: none */
  u64 polling;       /* sleeps in SCHEDOP_poll */
  u64 poll_timeout;  /* system time, ns; 0: none */
  u64 poll_count;
  u32 poll_ports[MAX_POLL_PORTS];
  u64 debug;
  u64 debug_steps; /* instructions to be stepped with TF set, and the last of them that has ended */
  u64 debug_steps_done;
  u64 debug_tf;       /* X86_EFLAGS_TF, if a step's TF is the debugger's and not the guest's own */
  u64 debug_dr[5];    /* DR0..3 and DR7 of the debugger: instead of the guest's, while DR7 is not 0 */
  u64 outside;        /* runs no code: nobody waits for it to flush its TLB */
  u64 flush_requests; /* flushes of its TLB that others have asked for, and the last of them that is done */
  u64 flush_done;
  u64 flush_wanted; /* what they are for: FLUSH_* */
  u64 flush_mask;   /* for PENDING_FLUSH_OTHERS: a bit a vCPU, and what they have to flush */
  u64 flush_what;
  u64 holds_lock;
  struct ptwr ptwr;
  struct regs fault_registers; /* the guest's registers when a write through ptwr began */
  u64 counters[64];            /* by hypercall number: served in the monitor */
  struct trap_handler traps[256];
};

struct domain_area {
  u64 flags;
  u64 nr_pages;     /* the guest's own frames are 0 .. nr_pages-1 */
  u64 total_pages;  /* with Xen's behind them */
  u64 page_info;    /* address in the direct map: u64 a frame */
  u64 m2p;          /* address in the direct map */
  u64 xen_l4_entry; /* contents of slot XEN_SLOT and DIRECT_SLOT */
  u64 direct_l4_entry;
  u64 nr_vcpus;
  u64 tsc_version; /* odd while the four below change */
  u64 tsc_timestamp;
  u64 system_time;
  u64 tsc_to_system_mul;
  s64 tsc_shift;
  u64 vm_assist;
  u64 flush_clock; /* full TLB flushes so far, of all vCPUs where there are several; 32 bits used */
  u64 domid;
  u64 shared_info; /* address in the direct map */
  u64 xen_version; /* what XENVER_version answers */
  u64 monitor;     /* where MONITOR_VA is, in guest-physical memory */
  u64 ports;       /* address in the direct map: PORT_* */
  u64 lock;        /* of vCPUs that run at the same time: page types and page tables */
};

/* First bytes of the monitor's binary: offsets from MONITOR_VA. */
struct monitor_header {
  u64 magic;
  u64 vectors; /* 256 IDT entry points, 16 bytes apart */
  u64 stub;    /* per-vCPU syscall code, copied to BLOCK_STUB */
  u64 stub_size;
  u64 stub_compat; /* offset of the CSTAR entry inside it */
  u64 image_size;
};
#endif

#define MONITOR_MAGIC 0x31726f74696e6f6d /* "monitor1" */

#endif
