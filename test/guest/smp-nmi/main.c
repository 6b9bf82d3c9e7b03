/*
 * Rule: VCPUOP_send_nmi to another vCPU makes an NMI pending there and kicks it: it takes the NMI whatever it
 * does, also asleep in SCHEDOP_block, which that ends; one at a time, until the handler's iret; one that is
 * down keeps it (xen/arch/x86/domain.c arch_do_vcpu_op, vcpu_kick).
 */
#include "vcpu1.h"

const char test_title[] = "NMIs to another vCPU";

extern char nmi_callback[];

static volatile unsigned step, count, depth, deepest, hold, woken, ran;

static bool on_nmi(struct regs *regs) {
  if (regs->vec != NMI_CALLBACK) return false;
  if (++depth > deepest) deepest = depth;
  __atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST);
  while (hold)
    asm volatile("pause");
  depth--;
  return true;
}

static void second(void) {
  struct callback_register op = {.type = CALLBACKTYPE_nmi, .address = (ulong)nmi_callback};
  must("register", HYPERVISOR_callback_op(CALLBACKOP_register, &op));
  step = 1;
  wait_until(&step, 2);
  long rc = HYPERVISOR_sched_op(SCHEDOP_block, NULL);
  woken = rc == 0 ? 1 : 2;
  wait_until(&step, 3);
  must("down", HYPERVISOR_vcpu_op(VCPUOP_down, 1, NULL));
  ran = count;
  for (;;)
    asm volatile("pause");
}

static void send(void) {
  must("send_nmi", HYPERVISOR_vcpu_op(VCPUOP_send_nmi, 1, NULL));
}

void test_main(void) {
  trap_hook = on_nmi;
  say_rc("send_nmi to one that is not initialised", HYPERVISOR_vcpu_op(VCPUOP_send_nmi, 1, (void *)1));
  start_vcpu1(second);
  wait_until(&step, 1);

  send();
  wait_until(&count, 1);
  print("spinning: %u NMIs", count);

  count = 0;
  step = 2;
  await_runstate(RUNSTATE_blocked);
  send();
  while (!woken)
    asm volatile("pause");
  print("asleep: %u NMIs, SCHEDOP_block returns %s", count, woken == 1 ? "0" : "an error");

  count = deepest = 0;
  hold = 1;
  send();
  wait_until(&count, 1);
  send();
  send();
  print("in the handler: %u NMIs, deepest %u", count, deepest);
  hold = 0;
  wait_until(&count, 2);
  print("after its iret: %u NMIs, deepest %u", count, deepest);

  count = 0;
  step = 3;
  await_runstate(RUNSTATE_offline);
  send();
  print("down: %u NMIs", count);
  must("up", HYPERVISOR_vcpu_op(VCPUOP_up, 1, NULL));
  while (!ran)
    asm volatile("pause");
  print("up again: %u NMIs, before anything else", ran);
}
