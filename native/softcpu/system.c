/* Where QEMU looks at a whole machine: system calls, delivering exceptions,
 * port permissions, the FPU's error line. */
#include "engine.h"

#include "exec/cpu_ldst.h"
#include "exec/helper-proto.h"
#include "target/i386/tcg/helper-tcg.h"
#include "target/i386/tcg/seg_helper.h"

enum { SYSTEM_FLAGS = TF_MASK | IF_MASK | IOPL_MASK | NT_MASK | RF_MASK | AC_MASK | ID_MASK };

/* Intel SDM vol. 2, SYSCALL; from compatibility mode as on AMD, at CSTAR. next:
 * the instruction's length. */
void helper_syscall(CPUX86State *env, int next) {
  uint32_t flat = DESC_G_MASK | DESC_P_MASK | DESC_S_MASK | DESC_A_MASK;
  uint16_t selector = (env->star >> 32) & 0xfffc;
  if (!(env->efer & MSR_EFER_SCE) || !(env->hflags & HF_LMA_MASK))
    raise_exception_err_ra(env, EXCP06_ILLOP, 0, GETPC());
  uint64_t target = env->hflags & HF_CS64_MASK ? env->lstar : env->cstar;
  env->regs[R_ECX] = env->eip + next;
  env->regs[11] = cpu_compute_eflags(env) & ~RF_MASK;
  cpu_load_eflags(env, env->regs[11] & ~env->fmask, SYSTEM_FLAGS);
  cpu_x86_load_seg_cache(env, R_CS, selector, 0, 0xffffffff, flat | DESC_CS_MASK | DESC_R_MASK | DESC_L_MASK);
  cpu_x86_load_seg_cache(env, R_SS, selector + 8, 0, 0xffffffff, flat | DESC_B_MASK | DESC_W_MASK);
  env->eip = target;
}

void x86_cpu_do_interrupt(CPUState *cs) {
  CPUX86State *env = cs->env_ptr;
  do_interrupt_all(X86_CPU(cs), cs->exception_index, env->exception_is_int, env->error_code,
                   env->exception_next_eip, 0);
  env->old_exception = -1; /* delivered: the next fault is not a double one */
}

/* IN and OUT above IOPL ask the bitmap of the TSS (Intel SDM vol. 1, 19.5.2):
 * all of the access's bits must be 0. */
void helper_check_io(CPUX86State *env, uint32_t port, uint32_t size) {
  uintptr_t ra = GETPC();
  uint32_t type = env->tr.flags >> DESC_TYPE_SHIFT & 0xf & ~2u; /* busy or not */
  if ((env->tr.flags & DESC_P_MASK) && type == 9 && env->tr.limit >= 103) {
    uint32_t at = cpu_lduw_kernel_ra(env, env->tr.base + 0x66, ra) + port / 8;
    if (at + 1 <= env->tr.limit) { /* two bytes are read */
      uint32_t bits = cpu_lduw_kernel_ra(env, env->tr.base + at, ra) >> port % 8;
      if (!(bits & ((1u << size) - 1))) return;
    }
  }
  raise_exception_err_ra(env, EXCP0D_GPF, 0, ra);
}

/* FERR# and IGNNE# lead nowhere: with CR0.NE=0, x87 errors are ignored. */
void fpu_check_raise_ferr_irq(CPUX86State *env) {}
void cpu_clear_ignne(void) {}
