// The order of the words of SoftVcpu's getState and setState; src/kvm/cpu-state.ts is its mirror.
#pragma once

#include <cstddef>
#include <cstdint>
#include <softcpu.h>

// gpr[16], rip, rflags, cr0 cr2 cr3 cr4, efer star lstar cstar sfmask kernel_gs_base, 8 segments of selector
// base limit flags, gdt base limit, idt base limit, dr0..dr3 dr6 dr7, xcr0, pat, tsc_offset.
constexpr size_t kCpuStateWords = 16 + 2 + 4 + 6 + SOFTCPU_SEGMENTS * 4 + 4 + 6 + 3;

void cpu_state_to_words(const softcpu_state &state, uint64_t *words);
// Starts from the present state, for what has no word.
void cpu_state_from_words(softcpu_state &state, const uint64_t *words);
