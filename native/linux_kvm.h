// <linux/kvm.h> for C++. Headers of Linux 6.1 (Debian 12) declare flexible arrays with a member that C++
// gives a size, which shifts KVM's structures and its ioctl numbers; later headers declare them as here.
#pragma once

#include <linux/stddef.h>

#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) TYPE NAME[0]

#include <linux/kvm.h>

static_assert(sizeof(kvm_cpuid2) == 8 && sizeof(kvm_msrs) == 8);
