#include "cpu_state.h"

#include <initializer_list>
#include <type_traits>

namespace {

// Visits every field in order; `word(field)` reads or writes one of 32 or 64 bits.
template <typename State, typename Visit> void visit(State &state, Visit word) {
  for (auto &gpr : state.gpr)
    word(gpr);
  word(state.rip);
  word(state.rflags);
  word(state.cr0);
  word(state.cr2);
  word(state.cr3);
  word(state.cr4);
  word(state.efer);
  word(state.star);
  word(state.lstar);
  word(state.cstar);
  word(state.fmask);
  word(state.kernel_gs_base);
  for (auto &segment : state.seg) {
    word(segment.selector);
    word(segment.base);
    word(segment.limit);
    word(segment.flags);
  }
  word(state.gdt_base);
  word(state.gdt_limit);
  word(state.idt_base);
  word(state.idt_limit);
  for (int index : {0, 1, 2, 3, 6, 7})
    word(state.dr[index]);
  word(state.xcr0);
  word(state.pat);
  word(state.tsc_offset);
}

} // namespace

void cpu_state_to_words(const softcpu_state &state, uint64_t *words) {
  visit(state, [&](const auto &field) { *words++ = field; });
}

void cpu_state_from_words(softcpu_state &state, const uint64_t *words) {
  visit(state, [&](auto &field) { field = static_cast<std::remove_reference_t<decltype(field)>>(*words++); });
}
