/*
 * Rule: an event sets its pending bit, then, unless the port is masked, its bit in evtchn_pending_sel, and
 * when that was clear evtchn_upcall_pending. The upcall comes as soon as evtchn_upcall_mask is clear: at
 * once, at the next return to the guest after the guest cleared it (it has to ask: a hypercall), or at an
 * iret whose frame has IF set. It enters with the mask set (xen/common/event_2l.c, x86_64/entry.S
 * test_guest_events, pv/iret.c).
 */
#include "test.h"

const char test_title[] = "Event upcalls and masks";

static unsigned near, far, calls;
static uint8_t mask_inside;
static uint16_t interrupted_cs;
static uint8_t interrupted_mask;

static vcpu_info_t *vcpu(void) {
  return &shared_info->vcpu_info[0];
}

/* Acknowledges everything, as a kernel does, and remembers how it was called. */
static void on_upcall(struct regs *regs) {
  calls++;
  mask_inside = vcpu()->evtchn_upcall_mask;
  interrupted_cs = regs->cs;
  interrupted_mask = regs->saved_upcall_mask;
  vcpu()->evtchn_upcall_pending = 0;
  vcpu()->evtchn_pending_sel = 0;
  for (unsigned i = 0; i < ARRAY_SIZE(shared_info->evtchn_pending); i++)
    shared_info->evtchn_pending[i] = 0;
}

static void quiet(uint8_t mask) {
  vcpu()->evtchn_upcall_mask = 1;
  vcpu()->evtchn_upcall_pending = 0;
  vcpu()->evtchn_pending_sel = 0;
  for (unsigned i = 0; i < ARRAY_SIZE(shared_info->evtchn_pending); i++)
    shared_info->evtchn_pending[i] = 0;
  calls = 0;
  vcpu()->evtchn_upcall_mask = mask;
}

static void say(const char *name) {
  print("%s: upcalls %u, pending %lu, sel %lu, upcall_pending %u, mask %u", name, calls,
        shared_info->evtchn_pending[far / 64] >> (far % 64) & 1, vcpu()->evtchn_pending_sel >> (far / 64) & 1,
        vcpu()->evtchn_upcall_pending, vcpu()->evtchn_upcall_mask);
}

static void send(void) {
  evtchn_send_t op = {.port = near};
  must("send", HYPERVISOR_event_channel_op(EVTCHNOP_send, &op));
}

static void set_port_mask(unsigned port, bool masked) {
  ulong bit = 1ul << (port % 64);
  if (masked)
    shared_info->evtchn_mask[port / 64] |= bit;
  else
    shared_info->evtchn_mask[port / 64] &= ~bit;
}

static long unmask(void) {
  evtchn_unmask_t op = {.port = far};
  return HYPERVISOR_event_channel_op(EVTCHNOP_unmask, &op);
}

/* The frame of the ud2 comes back with IF as wanted. */
static bool resume_open(struct regs *regs) {
  regs->rip += 2;
  regs->rflags |= X86_EFLAGS_IF;
  return true;
}

static void in_kernel(void) {
  quiet(0);
  send();
  say("send, open");
  expect("mask inside the upcall", mask_inside, 1);
  expect_hex("cs it interrupted", interrupted_cs, 0xe030);
  expect("saved mask", interrupted_mask, 0);

  quiet(1);
  send();
  say("send, masked");
  vcpu()->evtchn_upcall_mask = 0;
  say("mask cleared");
  HYPERVISOR_xen_version(XENVER_version, NULL);
  say("and a hypercall");

  quiet(1);
  send();
  send();
  send();
  vcpu()->evtchn_upcall_mask = 0;
  HYPERVISOR_xen_version(XENVER_version, NULL);
  say("three sends, masked, then open");

  quiet(1);
  send();
  trap_hook = resume_open;
  asm volatile("ud2" : : : "memory");
  trap_hook = NULL;
  say("iret with IF set");

  /* upcall_pending alone is enough, and is what is looked at. */
  quiet(0);
  vcpu()->evtchn_upcall_pending = 1;
  HYPERVISOR_xen_version(XENVER_version, NULL);
  say("upcall_pending set by the guest");
}

static void port_masks(void) {
  quiet(0);
  set_port_mask(far, true);
  send();
  say("send to a masked port");
  set_port_mask(far, false);
  HYPERVISOR_xen_version(XENVER_version, NULL);
  say("port mask cleared by hand");
  must("unmask", unmask());
  say("unmask of a port that was open already");

  quiet(0);
  set_port_mask(far, true);
  send();
  expect_rc("unmask", unmask(), 0);
  say("unmask while pending");

  quiet(0);
  set_port_mask(far, true);
  expect_rc("unmask", unmask(), 0);
  say("unmask of nothing");

  /* A bit that is pending already raises nothing: the guest must clear it first. */
  quiet(0);
  shared_info->evtchn_pending[far / 64] |= 1ul << (far % 64);
  send();
  say("send while the bit is set");
  quiet(1);
  vcpu()->evtchn_pending_sel = 1ul << (far / 64);
  send();
  say("send while the selector is set");
}

STUB(user_ud2, "ud2");
STUB(user_nop, "");

static void in_user(void) {
  struct regs regs;
  /* Pending before the way to ring 3: the upcall is there first, and shows ring 3. */
  quiet(1);
  send();
  catch_user(user_nop, 0, &regs);
  print("pending on the way to user: %s cs %x saved_upcall_mask %u", trap_name(regs.vec), regs.cs,
        regs.saved_upcall_mask);
  check(regs.rip == user_address((void *)user_nop), "user code has run");
  quiet(0);
}

void test_main(void) {
  evtchn_alloc_unbound_t alloc = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
  must("alloc_unbound", HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &alloc));
  evtchn_bind_interdomain_t bind = {.remote_dom = DOMID_SELF, .remote_port = alloc.port};
  must("bind_interdomain", HYPERVISOR_event_channel_op(EVTCHNOP_bind_interdomain, &bind));
  far = alloc.port;
  near = bind.local_port;
  set_port_mask(far, false);
  set_port_mask(near, false);
  upcall_hook = on_upcall;
  in_kernel();
  port_masks();
  in_user();
}
