/* The translator does not log. */
#ifndef QEMU_LOG_H
#define QEMU_LOG_H

enum {
  CPU_LOG_TB_OUT_ASM,
  CPU_LOG_TB_IN_ASM,
  CPU_LOG_TB_OP,
  CPU_LOG_TB_OP_OPT,
  CPU_LOG_TB_OP_IND,
  CPU_LOG_INT,
  CPU_LOG_EXEC,
  CPU_LOG_PCALL,
  CPU_LOG_TB_CPU,
  CPU_LOG_TB_FPU,
  CPU_LOG_TB_NOCHAIN,
  CPU_LOG_RESET,
  CPU_LOG_MMU,
  LOG_UNIMP,
  LOG_GUEST_ERROR,
};

#define qemu_loglevel_mask(mask) false
#define qemu_log_enabled() false
#define qemu_log_in_addr_range(address) false
#define qemu_log_trylock() ((FILE *)NULL)
#define qemu_log_unlock(file) ((void)(file))

#define qemu_log(...) ((void)0)
#define qemu_log_mask(...) ((void)0)

#endif
