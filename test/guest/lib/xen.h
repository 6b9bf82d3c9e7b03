/* Xen's public ABI as this library sees it: the installed headers, newest interface version. */
#ifndef LIB_XEN_H
#define LIB_XEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define __XEN_INTERFACE_VERSION__ 0x00040e00
#define __XEN_TOOLS__ 1 /* uint64_aligned_t, which grant_table.h and others need */
#include <xen/xen.h>
#include <xen/callback.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/nmi.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

enum xen_errno {
#define XEN_ERRNO(name, value) XEN_##name = (value),
#include <xen/errno.h>
};

#endif
