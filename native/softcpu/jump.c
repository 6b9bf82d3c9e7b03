/* Jumps whose target is known only when they are done: returns, indirect calls,
 * jumps to another page. A third of a kernel's blocks end in one, so translated
 * code finds the next block by itself, without a branch but the jump. */
#include "engine.h"

#include "exec/helper-proto.h"
#include "tcg/tcg-op.h"

/* Host code for when the cache does not know: asks block_find(), and goes where
 * it says. */
static const uint8_t *miss;

/* What is known about virtual addresses, or a block, has changed. The entries
 * are looked at again one by one, since most turn out to hold still: a guest
 * flushes its TLB at every change of its address space. */
void jumps_forget(struct softcpu *cpu) {
  cpu->jump_tag += 1ull << 32;
  if (cpu->jump_tag) return;
  memset(cpu->jumps, 0, JUMPS * sizeof(*cpu->jumps));
  cpu->jump_tag = 1ull << 32;
}

void tcg_flush_jmp_cache(CPUState *cs) {
  jumps_forget(softcpu_of(cs));
}

/* mov %rbp, %rdi; movabs $helper, %rax; call *%rax; jmp *%rax. RBP is the
 * translator's pointer to the CPU (TCG_AREG0); translated code keeps the stack
 * as a call needs it. */
void jump_make_stub(uint8_t *code) {
  const void *helper = helper_lookup_tb_ptr;
  QEMU_BUILD_BUG_ON(TCG_AREG0 != TCG_REG_EBP);
  memcpy(code, "\x48\x89\xef\x48\xb8", 5);
  memcpy(code + 5, &helper, 8);
  memcpy(code + 13, "\xff\xd0\xff\xe0", 4);
  miss = code;
}

#define FROM_ENV(field)                                                                                      \
  ((intptr_t)offsetof(struct softcpu, field) - (intptr_t)offsetof(struct softcpu, x86.env))

/* Ends a block: goes on at `eip`, in 64-bit code, in the mode that `flags`
 * says. */
void softcpu_gen_jump(TCGv_i64 eip, uint32_t flags) {
  TCGv_i64 entry = tcg_temp_new_i64(), wrong = tcg_temp_new_i64(), tag = tcg_temp_new_i64(),
           base = tcg_temp_new_i64();
  tcg_gen_ld_i64(base, cpu_env, FROM_ENV(jumps));
  tcg_gen_muli_i64(entry, eip, JUMP_HASH);
  tcg_gen_shri_i64(entry, entry, 64 - JUMP_BITS - JUMP_SHIFT);
  tcg_gen_andi_i64(entry, entry, (JUMPS - 1) << JUMP_SHIFT);
  tcg_gen_add_i64(entry, entry, base);
  tcg_gen_ld_i64(wrong, (TCGv_ptr)entry, offsetof(struct jump, pc));
  tcg_gen_xor_i64(wrong, wrong, eip);
  tcg_gen_ld_i64(tag, cpu_env, FROM_ENV(jump_tag));
  tcg_gen_xori_i64(tag, tag, flags);
  tcg_gen_ld_i64(base, (TCGv_ptr)entry, offsetof(struct jump, tag));
  tcg_gen_xor_i64(tag, tag, base);
  tcg_gen_or_i64(wrong, wrong, tag);
  tcg_gen_ld_i64(entry, (TCGv_ptr)entry, offsetof(struct jump, code));
  tcg_gen_movcond_i64(TCG_COND_EQ, entry, wrong, tcg_constant_i64(0), entry,
                      tcg_constant_i64((intptr_t)miss));
  tcg_gen_goto_ptr((TCGv_ptr)entry);
}
