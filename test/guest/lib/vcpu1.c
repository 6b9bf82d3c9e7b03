#include "vcpu1.h"

static uint8_t stack[PAGE_SIZE] __attribute__((aligned(16)));
static uint8_t trap_stack[PAGE_SIZE] __attribute__((aligned(16)));

void start_vcpu1(void (*fn)(void)) {
  static vcpu_guest_context_t context;
  context.flags = VGCF_in_kernel;
  context.user_regs.rip = (ulong)fn;
  context.user_regs.rsp = (ulong)stack + sizeof(stack) - 8;
  context.user_regs.cs = FLAT_KERNEL_CS64;
  context.user_regs.ss = FLAT_KERNEL_SS64;
  context.user_regs.rflags = 2;
  context.kernel_ss = FLAT_KERNEL_SS64;
  context.kernel_sp = (ulong)trap_stack + sizeof(trap_stack);
  context.ctrlreg[3] = (ulong)mfn_of(kernel_l4()) << PAGE_SHIFT;
  for (unsigned vec = 0; vec < ARRAY_SIZE(context.trap_ctxt); vec++)
    context.trap_ctxt[vec] = (trap_info_t){(uint8_t)vec, 0, FLAT_KERNEL_CS64, trap_entry(vec)};
  must("initialise", HYPERVISOR_vcpu_op(VCPUOP_initialise, 1, &context));
  must("up", HYPERVISOR_vcpu_op(VCPUOP_up, 1, NULL));
}

void await_runstate(unsigned state) {
  vcpu_runstate_info_t info;
  do {
    must("get_runstate_info", HYPERVISOR_vcpu_op(VCPUOP_get_runstate_info, 1, &info));
    HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
  } while (info.state != (int)state);
}
