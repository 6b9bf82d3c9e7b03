/* What the probe's host side and its guest (kvm_probe_guest.S) agree on. Included by both. */
#pragma once

/* Guest-physical addresses; paging maps the first 2 MiB one to one, for ring 3 too. */
#define PROBE_PML4 0x1000
#define PROBE_PDPT 0x2000
#define PROBE_PD 0x3000
#define PROBE_GDT 0x4000
#define PROBE_IDT 0x5000
#define PROBE_TSS 0x6000
#define PROBE_KERNEL_STACK 0x9000
#define PROBE_USER_STACK 0xb000
#define PROBE_CODE 0x10000
#define PROBE_BYTES 0x200000
/* Not mapped. */
#define PROBE_HOLE 0x40000000

#define PROBE_KERNEL_CS 0x08
#define PROBE_KERNEL_DS 0x10
#define PROBE_USER_DS 0x23
#define PROBE_USER_CS 0x2b
#define PROBE_TR 0x30

/* The guest says by these ports how far it came. */
#define PROBE_PORT_LOOP 0x10
#define PROBE_PORT_UD 0x11
#define PROBE_PORT_BP 0x12
#define PROBE_PORT_RING3 0x13
#define PROBE_PORT_PF 0x14
#define PROBE_PORT_DONE 0x15
#define PROBE_PORT_UNEXPECTED 0x1f

#ifndef __ASSEMBLER__
#include <cstdint>

extern "C" {
/* The image, to be copied to PROBE_CODE, where it starts with RDI = loop count. */
extern const uint8_t kvm_probe_guest[], kvm_probe_guest_end[];
extern const uint8_t kvm_probe_ud[], kvm_probe_bp[], kvm_probe_pf[], kvm_probe_int80[], kvm_probe_syscall[],
    kvm_probe_unexpected[];
}
#endif
