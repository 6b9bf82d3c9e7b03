/*
 * Rule: VCPUOP_send_nmi makes an NMI pending; it enters the kernel at the NMI callback with upcalls masked,
 * whatever the mask says, and another one waits until the handler's iret (xen/arch/x86/x86_64/entry.S
 * process_nmi, pv/iret.c async_exception_cleanup, pv/callback.c).
 */
#include "test.h"

const char test_title[] = "NMIs";

extern char nmi_callback[];

static unsigned count, resend, depth, deepest;
static uint16_t cs;
static uint8_t saved_mask, mask_inside;

static long send(void) {
  return HYPERVISOR_vcpu_op(VCPUOP_send_nmi, 0, NULL);
}

static bool on_nmi(struct regs *regs) {
  if (regs->vec != NMI_CALLBACK) return false;
  depth++;
  if (depth > deepest) deepest = depth;
  count++;
  cs = regs->cs;
  saved_mask = regs->saved_upcall_mask;
  mask_inside = shared_info->vcpu_info[0].evtchn_upcall_mask;
  if (resend) {
    resend--;
    must("send_nmi", send());
    HYPERVISOR_xen_version(XENVER_version, NULL);
  }
  depth--;
  return true;
}

static void say(const char *name) {
  print("%s: %u NMIs, deepest %u, cs %x, saved mask %u, mask inside %u", name, count, deepest, cs, saved_mask,
        mask_inside);
  count = deepest = 0;
}

void test_main(void) {
  trap_hook = on_nmi;
  struct callback_register op = {.type = CALLBACKTYPE_nmi, .address = (ulong)nmi_callback};
  expect_rc("register", HYPERVISOR_callback_op(CALLBACKOP_register, &op), 0);
  expect_rc("send_nmi", send(), 0);
  say("upcalls masked");
  shared_info->vcpu_info[0].evtchn_upcall_mask = 0;
  must("send_nmi", send());
  say("upcalls open");
  shared_info->vcpu_info[0].evtchn_upcall_mask = 1;
  resend = 3;
  must("send_nmi", send());
  say("three more from the handler");
  say_rc("send_nmi with an argument", HYPERVISOR_vcpu_op(VCPUOP_send_nmi, 0, &op));
  struct callback_unregister un = {.type = CALLBACKTYPE_nmi};
  expect_rc("unregister", HYPERVISOR_callback_op(CALLBACKOP_unregister, &un), 0);
  op.address = 0x0000900000000000;
  say_rc("register, not canonical", HYPERVISOR_callback_op(CALLBACKOP_register, &op));
}
