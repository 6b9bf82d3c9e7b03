/* Offsets that the assembly needs; the Makefile turns the assembler output into offsets.h. */
#include "vcpu_area.h"
#include <stddef.h>

#define OFFSET(name, type, field) __asm__("\n.ascii \"#define " name " %c0\\n\"" ::"i"(offsetof(type, field)))
#define VCPU(field) OFFSET("VCPU_" #field, struct vcpu_area, field)

void offsets(void);
void offsets(void) {
  VCPU(scratch);
  VCPU(scratch_rax);
  VCPU(scratch_rcx);
  VCPU(user);
  VCPU(vcpu_info);
  VCPU(kernel_sp);
  VCPU(syscall_callback);
  VCPU(syscall_flags);
  VCPU(fast_paths);
  VCPU(sysret_cs);
  VCPU(sysret_ss);
  OFFSET("REGS_cs", struct regs, cs);
}
