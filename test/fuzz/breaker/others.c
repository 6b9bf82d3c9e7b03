/*
 * The other vCPUs. Each writes where the monitors and the areas of all of them are, changes tables that
 * others have loaded, has their TLBs flushed, interrupts them, takes them down and up. Whatever trap it
 * meets, it begins anew: its stack is empty again, and nothing else of it was worth keeping.
 */
#include "breaker.h"
#include "test.h"
#include <xen/vcpu.h>

#define STACK_SIZE 16384
#define MAX_OTHERS 15
#define NR_TRAPS 256

static uint8_t stacks[MAX_OTHERS][STACK_SIZE] __attribute__((aligned(STACK_SIZE)));

void begin_anew(void);
asm(".text\nbegin_anew:\n  cld\n  dec %rsp\n  or $16383, %rsp\n  sub $7, %rsp\n  push $0\n  jmp misbehave\n");

static void write_somewhere(void) {
  *(volatile uint64_t *)any_place(start_info->nr_pages, mfn_of(kernel_l4())) = any_value();
}

static void change_tables(void) {
  mmu_update_t op = {.ptr = (mfn_of(kernel_l4()) << PAGE_SHIFT) + below(512) * 8, .val = any_value()};
  if (one_in(2)) op.ptr = below(start_info->nr_pages << PAGE_SHIFT) & ~7ul;
  HYPERVISOR_mmu_update(&op, 1, NULL, DOMID_SELF);
}

static void flush(void) {
  static const unsigned commands[] = {MMUEXT_TLB_FLUSH_ALL, MMUEXT_INVLPG_ALL, MMUEXT_TLB_FLUSH_MULTI,
                                      MMUEXT_INVLPG_MULTI};
  uint64_t mask = any_value();
  mmuext_op_t op = {.cmd = PICK(commands), .arg1.linear_addr = one_in(2) ? (ulong)&mask : any_value()};
  set_xen_guest_handle(op.arg2.vcpumask, (void *)&mask);
  HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

static void trouble_another(void) {
  static const int commands[] = {VCPUOP_down, VCPUOP_up, VCPUOP_up, VCPUOP_up, VCPUOP_send_nmi};
  HYPERVISOR_vcpu_op(PICK(commands), 1 + below(nr_vcpus), NULL);
}

static void ipi(void) {
  evtchn_bind_ipi_t bind = {.vcpu = (uint32_t)below(nr_vcpus)};
  HYPERVISOR_event_channel_op(EVTCHNOP_bind_ipi, &bind);
  evtchn_send_t send = {.port = one_in(2) ? bind.port : (evtchn_port_t)below(64)};
  HYPERVISOR_event_channel_op(EVTCHNOP_send, &send);
}

void misbehave(void) __attribute__((noreturn, used));
void misbehave(void) {
  static void (*const acts[])(void) = {write_somewhere, change_tables, flush, trouble_another, ipi, any_call};
  for (;;)
    PICK(acts)();
}

void start_others(void) {
  static vcpu_guest_context_t context;
  context.flags = VGCF_in_kernel;
  for (unsigned i = 0; i < NR_TRAPS; i++)
    context.trap_ctxt[i] =
        (trap_info_t){.vector = (uint8_t)i, .flags = 4, .cs = FLAT_KERNEL_CS64, .address = (ulong)begin_anew};
  context.event_callback_eip = context.failsafe_callback_eip = context.syscall_callback_eip =
      (ulong)begin_anew;
  context.user_regs.rip = (ulong)begin_anew;
  context.user_regs.cs = FLAT_KERNEL_CS64;
  context.user_regs.ss = FLAT_KERNEL_SS64;
  context.ctrlreg[3] = mfn_of(kernel_l4()) << PAGE_SHIFT;
  for (ulong id = 1; id < nr_vcpus && id <= MAX_OTHERS; id++) {
    context.user_regs.rsp = context.kernel_sp = (ulong)stacks[id - 1] + STACK_SIZE;
    must("initialise", HYPERVISOR_vcpu_op(VCPUOP_initialise, (int)id, &context));
    must("up", HYPERVISOR_vcpu_op(VCPUOP_up, (int)id, NULL));
  }
}
