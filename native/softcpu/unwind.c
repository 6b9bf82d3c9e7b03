/* Every block is followed by a table of its instructions: address in the page,
 * state of the lazy flags, end of the host code; each as the difference from
 * the line before, 7 bits a byte, the last byte's bit 6 the sign (LEB128). */
#include "unwind.h"

#include "accel/tcg/internal.h"
#include "hw/core/tcg-cpu-ops.h"

enum { WORDS = TARGET_INSN_START_WORDS + 1 };
/* A number takes at most 10 bytes. */
enum { MAX_LINE = WORDS * 10 };

static uint8_t *put(uint8_t *p, int64_t value) {
  for (;;) {
    uint8_t byte = value & 0x7f;
    value >>= 7;
    if ((value == 0 && !(byte & 0x40)) || (value == -1 && (byte & 0x40))) {
      *p++ = byte;
      return p;
    }
    *p++ = byte | 0x80;
  }
}

static const uint8_t *get(const uint8_t *p, int64_t *value) {
  uint64_t bits = 0;
  unsigned shift = 0;
  uint8_t byte;
  do {
    byte = *p++;
    bits |= (uint64_t)(byte & 0x7f) << shift;
    shift += 7;
  } while (byte & 0x80);
  if (shift < 64 && (byte & 0x40)) bits |= -1ull << shift;
  *value = (int64_t)bits;
  return p;
}

int unwind_encode(TranslationBlock *tb, uint8_t *table, const uint8_t *limit) {
  TCGContext *tcg = tcg_ctx;
  uint64_t before[WORDS] = {0};
  uint8_t *p = table;
  for (int i = 0; i < tb->icount; i++) {
    if (p + MAX_LINE > limit) return -1;
    for (int word = 0; word < WORDS; word++) {
      uint64_t value =
          word < TARGET_INSN_START_WORDS ? tcg->gen_insn_data[i][word] : tcg->gen_insn_end_off[i];
      p = put(p, value - before[word]);
      before[word] = value;
    }
  }
  return p - table;
}

void cpu_restore_state_from_tb(CPUState *cs, TranslationBlock *tb, uintptr_t host_pc) {
  const uint8_t *p = (const uint8_t *)tb->tc.ptr + tb->tc.size;
  uint64_t offset = host_pc - GETPC_ADJ - (uintptr_t)tb->tc.ptr, line[WORDS] = {0};
  int64_t difference;
  for (int i = 0; i < tb->icount; i++) {
    for (int word = 0; word < WORDS; word++) {
      p = get(p, &difference);
      line[word] += difference;
    }
    if (line[TARGET_INSN_START_WORDS] > offset) {
      cs->cc->tcg_ops->restore_state_to_opc(cs, tb, line);
      return;
    }
  }
}

bool cpu_restore_state(CPUState *cs, uintptr_t host_pc) {
  /* Not in translated code: a fault during a fetch, or a helper that has saved
   * the state before. */
  if (!in_code_gen_buffer((const void *)host_pc)) return false;
  TranslationBlock *tb = tcg_tb_lookup(host_pc);
  if (!tb) return false;
  cpu_restore_state_from_tb(cs, tb, host_pc);
  return true;
}
