/* The run loop. Translated blocks jump to each other; a block begins by looking
 * at icount_decr (one compare), and that is the only place where another thread
 * can make the CPU stop: never inside of an instruction. */
#include "engine.h"

#include "accel/tcg/internal.h"
#include "accel/tcg/tb-hash.h"
#include "exec/helper-proto.h"
#include "hw/core/tcg-cpu-ops.h"
#include "target/i386/tcg/helper-tcg.h"

__thread CPUState *current_cpu;

/* Any thread: makes the CPU come back to run_blocks() before its next block, or
 * look around at once when it begins to run. What is asked for has been stored
 * before. */
static void interrupt_chain(struct softcpu *cpu) {
  qatomic_mb_set(&cpu->x86.neg.icount_decr.u16.high, 0xffff);
}

void softcpu_kick(softcpu *cpu) {
  qatomic_set(&cpu->kicked, 1);
  interrupt_chain(cpu);
}

bool softcpu_clear_kick(softcpu *cpu) {
  return qatomic_xchg(&cpu->kicked, 0);
}

void softcpu_raise_irq(softcpu *cpu, uint8_t vector) {
  qatomic_or(&cpu->irqs[vector / 64], 1ull << vector % 64);
  interrupt_chain(cpu);
}

bool softcpu_clear_irq(softcpu *cpu, uint8_t vector) {
  uint64_t bit = 1ull << vector % 64;
  return qatomic_fetch_and(&cpu->irqs[vector / 64], ~bit) & bit;
}

bool softcpu_irq_pending(const softcpu *cpu) {
  return qatomic_read(&cpu->irqs[0]) | qatomic_read(&cpu->irqs[1]) | qatomic_read(&cpu->irqs[2]) |
         qatomic_read(&cpu->irqs[3]);
}

const char *softcpu_error(const softcpu *cpu) {
  return cpu->error;
}

/* How code leaves a helper, and all frames of translated code above it. */
void cpu_loop_exit(CPUState *cs) {
  __builtin_longjmp(softcpu_of(cs)->unwind, 1);
}

void cpu_loop_exit_noexc(CPUState *cs) {
  cs->exception_index = -1;
  cpu_loop_exit(cs);
}

void cpu_loop_exit_restore(CPUState *cs, uintptr_t pc) {
  if (pc) cpu_restore_state(cs, pc);
  cpu_loop_exit(cs);
}

void cpu_loop_exit_atomic(CPUState *cs, uintptr_t pc) {
  cs->exception_index = EXCP_ATOMIC;
  cpu_loop_exit_restore(cs, pc);
}

/* The double fault's handler faulted too. */
void qemu_system_reset_request(int cause) {
  softcpu_of(current_cpu)->shut_down = true;
}

/* OUT. The block ends after it (patches/01), so run_blocks() sees what is
 * stored here. */
void helper_port_out(CPUX86State *env, uint32_t port) {
  struct softcpu *cpu = softcpu_of(env_cpu(env));
  if (port == cpu->exit_port) cpu->port_written = true;
}

/* Code that shares a page with a breakpoint runs an instruction a block. */
static uint32_t block_cflags(CPUState *cs, target_ulong pc) {
  struct softcpu *cpu = softcpu_of(cs);
  if (likely(!has_breakpoints(cpu)) || !debug_check_breakpoints(cpu, pc)) return cs->tcg_cflags;
  return cs->tcg_cflags | CF_NO_GOTO_TB | 1;
}

/* What a block depends on besides hflags: cpu_get_tb_cpu_state(). */
enum { EFLAGS_OF_BLOCKS = IOPL_MASK | TF_MASK | RF_MASK | VM_MASK | AC_MASK };

/* From translated code: where to go on, or back to run_blocks(). */
const void *HELPER(lookup_tb_ptr)(CPUX86State *env) {
  CPUState *cs = env_cpu(env);
  target_ulong pc, cs_base;
  uint32_t flags;
  cpu_get_tb_cpu_state(env, &pc, &cs_base, &flags);
  TranslationBlock *tb = block_find(softcpu_of(cs), pc, cs_base, flags, block_cflags(cs, pc));
  return tb ? tb->tc.ptr : tcg_code_gen_epilogue;
}

/* From translated code that has changed the mode it runs in, let interrupts in, or written to a port: where
 * to go on, unless run_blocks() has to look around. */
const void *HELPER(next_block)(CPUX86State *env) {
  struct softcpu *cpu = softcpu_of(env_cpu(env));
  uint32_t flags = env->hflags | (env->eflags & EFLAGS_OF_BLOCKS);
  const struct jump *jump = &cpu->jumps[jump_index(env->eip)];
  if (unlikely(cpu->port_written | cpu->irq_waits)) return tcg_code_gen_epilogue;
  if (likely(flags & HF_CS64_MASK && jump->pc == env->eip &&
             jump->tag == (jump_kind(cpu, flags)->tag | flags)))
    return jump->code;
  return helper_lookup_tb_ptr(env);
}

/* Takes the highest pending vector out of the set; -1 if there is none. */
static int take_irq(struct softcpu *cpu) {
  for (int word = 3; word >= 0; word--) {
    uint64_t bits = qatomic_read(&cpu->irqs[word]);
    if (!bits) continue;
    int vector = word * 64 + 63 - clz64(bits);
    if (softcpu_clear_irq(cpu, vector)) return vector;
    word++; /* taken back by another thread meanwhile: look again */
  }
  return -1;
}

static bool interruptible(const CPUX86State *env) {
  return (env->eflags & IF_MASK) && !(env->hflags & HF_INHIBIT_IRQ_MASK);
}

static void deliver_irq(struct softcpu *cpu) {
  CPUX86State *env = &cpu->x86.env;
  if (!interruptible(env)) return;
  int vector = take_irq(cpu);
  if (vector < 0) return;
  softcpu_cs(cpu)->halted = 0;
  do_interrupt_x86_hardirq(env, vector, 1);
}

/* Runs blocks until an exit, or until something has to be looked at: 0. */
static softcpu_exit run_blocks(struct softcpu *cpu) {
  CPUState *cs = softcpu_cs(cpu);
  CPUX86State *env = &cpu->x86.env;
  TranslationBlock *last = NULL;
  int exit_number = 0;
  for (;;) {
    target_ulong pc, cs_base;
    uint32_t flags, cflags = cs->cflags_next_tb;
    if (likely(cflags == -1)) {
      /* Cleared before the requests are read: one that comes later stops the
       * chain again. */
      if (unlikely(qatomic_read(&cpu->x86.neg.icount_decr.u16.high)))
        qatomic_xchg(&cpu->x86.neg.icount_decr.u16.high, 0);
      if (unlikely(qatomic_read(&cpu->kicked)) && qatomic_xchg(&cpu->kicked, 0)) return SOFTCPU_EXIT_KICK;
      if (unlikely(cs->interrupt_request)) { /* an instruction that hit a
                                                watchpoint has completed */
        cs->interrupt_request = 0;
        cs->exception_index = EXCP_DEBUG;
        return 0;
      }
      cpu->irq_waits = false;
      if (unlikely(softcpu_irq_pending(cpu))) {
        if (interruptible(env)) {
          deliver_irq(cpu);
          last = NULL;
        }
        cpu->irq_waits = softcpu_irq_pending(cpu);
      }
    }
    cpu_get_tb_cpu_state(env, &pc, &cs_base, &flags);
    if (likely(cflags == -1))
      cflags = block_cflags(cs, pc);
    else
      cs->cflags_next_tb = -1;
    TranslationBlock *tb = block_find(cpu, pc, cs_base, flags, cflags);
    if (!tb) {
      size_t count = cpu->blocks->count;
      tb = block_make(cpu, pc, cs_base, flags, cflags);
      if (cpu->blocks->count <= count) last = NULL; /* everything was dropped to make room */
    }
    if (last) block_chain(cpu, last, exit_number, tb);

    uintptr_t ended = tcg_qemu_tb_exec(env, tb->tc.ptr);
    last = (TranslationBlock *)(ended & ~TB_EXIT_MASK);
    exit_number = ended & TB_EXIT_MASK;
    if (exit_number > TB_EXIT_IDX1)
      last = NULL; /* stopped before its first instruction, where EIP is already */
    if (cpu->port_written) {
      cpu->port_written = false;
      return SOFTCPU_EXIT_PORT;
    }
  }
}

/* What a helper has left by cpu_loop_exit() for: an exit, or 0 to go on. */
static softcpu_exit take_exception(struct softcpu *cpu) {
  CPUState *cs = softcpu_cs(cpu);
  int number = cs->exception_index;
  if (number < EXCP_INTERRUPT) {
    /* A watchpoint that was hit on the way is in the DR6 of a step's #DB already, and none comes after a
     * fault. */
    cs->interrupt_request = 0;
    cs->watchpoint_hit = NULL;
    x86_cpu_do_interrupt(cs);
    cs->exception_index = -1;
    return 0;
  }
  cs->exception_index = -1;
  cs->cflags_next_tb = -1;
  switch (number) {
  case EXCP_HLT:
    if (cpu->shut_down) {
      cpu->shut_down = false;
      cs->halted = 0;
      return SOFTCPU_EXIT_SHUTDOWN;
    }
    if (softcpu_irq_pending(cpu) && interruptible(&cpu->x86.env)) {
      cs->halted = 0;
      return 0;
    }
    return SOFTCPU_EXIT_HLT;
  case EXCP_DEBUG:
    cs->cc->tcg_ops->debug_excp_handler(cs);
    return 0;
  case EXCP_INTERRUPT: /* pause */
    return cpu->next == cpu ? 0 : SOFTCPU_EXIT_PAUSE;
  default:
    cpu->error = "an exception of the translator's own that this CPU cannot raise";
    return SOFTCPU_EXIT_ERROR;
  }
}

/* Not inlined: __builtin_longjmp must not be in the function that has the
 * __builtin_setjmp. */
static __attribute__((noinline)) softcpu_exit run(softcpu *started) {
  __builtin_setjmp(started->unwind);
  struct softcpu *cpu = softcpu_of(current_cpu);
  if (unlikely(cpu->bug[0])) return SOFTCPU_EXIT_ERROR;
  if (unlikely(cpu->port_written)) { /* an OUT that is single-stepped: its #DB
                                        comes with the next run */
    cpu->port_written = false;
    return SOFTCPU_EXIT_PORT;
  }
  for (;;) {
    softcpu_exit exit = softcpu_cs(cpu)->exception_index >= 0 ? take_exception(cpu) : 0;
    if (!exit && softcpu_cs(cpu)->exception_index < 0) exit = run_blocks(cpu);
    if (exit) return exit;
  }
}

softcpu_exit softcpu_run(softcpu *cpu) {
  softcpu_enter(cpu);
  softcpu_cs(cpu)->halted = 0;
  cpu->running = true;
  softcpu_exit exit = run(cpu);
  cpu->running = false;
  return exit;
}
