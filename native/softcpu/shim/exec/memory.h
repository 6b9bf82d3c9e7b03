/* Guest memory: RAM from physical address 0 on, ones beyond. QEMU's memory regions and address spaces are
 * only named by its headers. */
#ifndef MEMORY_H
#define MEMORY_H

#include "exec/cpu-common.h"
#include "exec/hwaddr.h"
#include "exec/memattrs.h"
#include "exec/memop.h"
#include "qemu/bswap.h"
#include "qemu/int128.h"
#include "qemu/queue.h"
#include "qemu/thread.h"

struct MemoryRegion {
  int unused;
};
struct MemoryRegionSection {
  int unused;
};
struct AddressSpace {
  int unused;
};
typedef struct MemoryRegionCache {
  int unused;
} MemoryRegionCache;

static inline MemOp devend_memop(enum device_endian end) {
  return end == DEVICE_BIG_ENDIAN ? MO_BE : MO_LE;
}

/* Ports: IN gives ones, what is written by OUTS is lost, OUT is helper_port_out(). */
#define address_space_ldub(as, port, attrs, result) 0xff
#define address_space_lduw(as, port, attrs, result) 0xffff
#define address_space_ldl(as, port, attrs, result) 0xffffffffu
#define address_space_stb(as, port, value, attrs, result) ((void)0)
#define address_space_stw(as, port, value, attrs, result) ((void)0)
#define address_space_stl(as, port, value, attrs, result) ((void)0)

#endif
