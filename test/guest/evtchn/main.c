/*
 * Rule: EVTCHNOP_* allocate, bind, send, mask and close ports; port 0 never exists; a port that is closed is
 * the next to be given out again; every operation on a port that is out of range or in the wrong state has
 * its own error (xen/common/event_channel.c).
 */
#include "test.h"

const char test_title[] = "Event channel operations";

#define OP(cmd, arg) HYPERVISOR_event_channel_op(cmd, arg)

static ulong *pending_words(void) {
  return shared_info->evtchn_pending;
}

static bool pending(unsigned port) {
  return pending_words()[port / 64] >> (port % 64) & 1;
}

static bool masked(unsigned port) {
  return shared_info->evtchn_mask[port / 64] >> (port % 64) & 1;
}

static void clear(unsigned port) {
  pending_words()[port / 64] &= ~(1ul << (port % 64));
}

static long send(unsigned port) {
  evtchn_send_t op = {.port = port};
  return OP(EVTCHNOP_send, &op);
}

static long close_port(unsigned port) {
  evtchn_close_t op = {.port = port};
  return OP(EVTCHNOP_close, &op);
}

static void say_status(const char *name, unsigned port) {
  evtchn_status_t op = {.dom = DOMID_SELF, .port = port};
  long rc = OP(EVTCHNOP_status, &op);
  if (rc) {
    print("%s: %s", name, errno_name(rc));
    return;
  }
  switch (op.status) {
  case EVTCHNSTAT_unbound:
    print("%s: unbound", name);
    break;
  case EVTCHNSTAT_interdomain:
    print("%s: interdomain, vcpu %u", name, op.vcpu);
    break;
  case EVTCHNSTAT_virq:
    print("%s: virq %u, vcpu %u", name, op.u.virq, op.vcpu);
    break;
  case EVTCHNSTAT_ipi:
    print("%s: ipi, vcpu %u", name, op.vcpu);
    break;
  case EVTCHNSTAT_closed:
    print("%s: closed", name);
    break;
  default:
    print("%s: status %u", name, op.status);
    break;
  }
}

static unsigned alloc_unbound(domid_t remote) {
  evtchn_alloc_unbound_t op = {.dom = DOMID_SELF, .remote_dom = remote};
  must("alloc_unbound", OP(EVTCHNOP_alloc_unbound, &op));
  return op.port;
}

static void unbound(void) {
  evtchn_alloc_unbound_t op = {.dom = 99, .remote_dom = DOMID_SELF};
  say_rc("alloc_unbound for domain 99", OP(EVTCHNOP_alloc_unbound, &op));
  unsigned first = alloc_unbound(DOMID_SELF), second = alloc_unbound(DOMID_SELF);
  check(first != 0 && second == first + 1, "ports %u and %u", first, second);
  say_rc("send to an unbound port", send(first));
  expect("pending", pending(first), 0);
  say_rc("close", close_port(first));
  say_rc("close again", close_port(first));
  say_status("closed port", first);
  say_rc("send to a closed port", send(first));
  expect("the closed port is given out again", alloc_unbound(DOMID_SELF) == first, 1);
  must("close", close_port(first));
  must("close", close_port(second));
}

static unsigned loop_back(unsigned *other) {
  *other = alloc_unbound(DOMID_SELF);
  evtchn_bind_interdomain_t op = {.remote_dom = DOMID_SELF, .remote_port = *other};
  must("bind_interdomain", OP(EVTCHNOP_bind_interdomain, &op));
  return op.local_port;
}

static void interdomain(void) {
  unsigned far, near = loop_back(&far);
  check(near != far, "the same port");
  say_status("near", near);
  say_status("far", far);
  /* Xen makes the new end pending: the other may have notified before it was bound. */
  expect("near pending after bind", pending(near), 1);
  expect("far pending after bind", pending(far), 0);
  clear(near);
  expect_rc("send near", send(near), 0);
  expect("far pending", pending(far), 1);
  expect("near pending", pending(near), 0);
  clear(far);
  expect_rc("send far", send(far), 0);
  expect("near pending", pending(near), 1);
  clear(near);
  evtchn_bind_interdomain_t again = {.remote_dom = DOMID_SELF, .remote_port = far};
  say_rc("bind to a bound port", OP(EVTCHNOP_bind_interdomain, &again));
  again.remote_port = 1000;
  say_rc("bind to a port that is not there", OP(EVTCHNOP_bind_interdomain, &again));
  again.remote_dom = 99;
  say_rc("bind to domain 99", OP(EVTCHNOP_bind_interdomain, &again));
  expect_rc("close far", close_port(far), 0);
  say_status("near, after far was closed", near);
  say_rc("send near", send(near));
  expect_rc("close near", close_port(near), 0);
}

static void ipi_and_virq(void) {
  evtchn_bind_ipi_t ipi = {.vcpu = 0};
  expect_rc("bind_ipi", OP(EVTCHNOP_bind_ipi, &ipi), 0);
  say_status("ipi", ipi.port);
  expect_rc("send ipi", send(ipi.port), 0);
  expect("pending", pending(ipi.port), 1);
  expect_rc("close", close_port(ipi.port), 0);
  ipi.vcpu = 99;
  say_rc("bind_ipi to vCPU 99", OP(EVTCHNOP_bind_ipi, &ipi));

  evtchn_bind_virq_t virq = {.virq = VIRQ_TIMER, .vcpu = 0};
  expect_rc("bind_virq TIMER", OP(EVTCHNOP_bind_virq, &virq), 0);
  say_status("virq", virq.port);
  say_rc("send to a virq", send(virq.port));
  unsigned timer = virq.port;
  say_rc("bind_virq TIMER again", OP(EVTCHNOP_bind_virq, &virq));
  expect_rc("close", close_port(timer), 0);
  expect_rc("bind_virq TIMER after close", OP(EVTCHNOP_bind_virq, &virq), 0);
  must("close", close_port(virq.port));
  virq = (evtchn_bind_virq_t){.virq = VIRQ_DEBUG, .vcpu = 0};
  expect_rc("bind_virq DEBUG", OP(EVTCHNOP_bind_virq, &virq), 0);
  must("close", close_port(virq.port));
  virq.virq = NR_VIRQS;
  say_rc("bind_virq past the last", OP(EVTCHNOP_bind_virq, &virq));
  virq = (evtchn_bind_virq_t){.virq = VIRQ_TIMER, .vcpu = 99};
  say_rc("bind_virq on vCPU 99", OP(EVTCHNOP_bind_virq, &virq));
}

static void masks(void) {
  unsigned far, near = loop_back(&far);
  clear(near);
  /* A new port keeps whatever mask bit the guest left there. */
  shared_info->evtchn_mask[far / 64] |= 1ul << (far % 64);
  expect_rc("send to a masked port", send(near), 0);
  expect("pending", pending(far), 1);
  evtchn_unmask_t unmask = {.port = far};
  expect_rc("unmask", OP(EVTCHNOP_unmask, &unmask), 0);
  expect("masked", masked(far), 0);
  expect("still pending", pending(far), 1);
  unmask.port = 5000;
  say_rc("unmask a port past the table", OP(EVTCHNOP_unmask, &unmask));
  must("close", close_port(far));
  expect("pending, closed", pending(far), 0);
  must("close", close_port(near));
}

static void bind_vcpu(void) {
  unsigned far, near = loop_back(&far);
  evtchn_bind_vcpu_t op = {.port = near, .vcpu = 0};
  expect_rc("bind_vcpu", OP(EVTCHNOP_bind_vcpu, &op), 0);
  op.vcpu = 99;
  say_rc("bind_vcpu to vCPU 99", OP(EVTCHNOP_bind_vcpu, &op));
  evtchn_bind_ipi_t ipi = {.vcpu = 0};
  must("bind_ipi", OP(EVTCHNOP_bind_ipi, &ipi));
  op = (evtchn_bind_vcpu_t){.port = ipi.port, .vcpu = 0};
  say_rc("bind_vcpu of an ipi", OP(EVTCHNOP_bind_vcpu, &op));
  evtchn_bind_virq_t virq = {.virq = VIRQ_TIMER, .vcpu = 0};
  must("bind_virq", OP(EVTCHNOP_bind_virq, &virq));
  op.port = virq.port;
  say_rc("bind_vcpu of the timer", OP(EVTCHNOP_bind_vcpu, &op));
  unsigned unbound_port = alloc_unbound(DOMID_SELF);
  op.port = unbound_port;
  say_rc("bind_vcpu of an unbound port", OP(EVTCHNOP_bind_vcpu, &op));
  op.port = 1000;
  say_rc("bind_vcpu of no port", OP(EVTCHNOP_bind_vcpu, &op));
  unsigned ports[] = {far, near, ipi.port, virq.port, unbound_port};
  for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
    must("close", close_port(ports[i]));
}

static void wrong_ports(void) {
  static const unsigned ports[] = {0, 1000, 4095, 4096, 0x7fffffff, 0xffffffff};
  for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
    long sent = send(ports[i]), closed = close_port(ports[i]);
    print("port %u: send %s, close %s", ports[i], errno_name(sent), errno_name(closed));
    if (ports[i] > 0 && ports[i] < 4096) continue; /* Xen allocates its table in parts: "closed" or -EINVAL */
    char name[32];
    format(name, sizeof(name), "status of %u", ports[i]);
    say_status(name, ports[i]);
  }
  evtchn_status_t op = {.dom = 99, .port = 1};
  say_rc("status in domain 99", OP(EVTCHNOP_status, &op));
}

/* The 2-level ABI takes 4096 ports (EVTCHN_2L_NR_CHANNELS with 64 bits); all come back. */
static void exhaust(void) {
  static uint16_t ports[4096];
  unsigned n = 0;
  long rc;
  for (;;) {
    evtchn_alloc_unbound_t op = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
    rc = OP(EVTCHNOP_alloc_unbound, &op);
    if (rc || n == ARRAY_SIZE(ports)) break;
    ports[n++] = (uint16_t)op.port;
  }
  say_rc("no port left", rc);
  expect("the last port", ports[n - 1], 4095);
  while (n)
    must("close", close_port(ports[--n]));
}

static void others(void) {
  evtchn_reset_t reset = {.dom = DOMID_SELF};
  unsigned port = alloc_unbound(DOMID_SELF);
  expect_rc("reset", OP(EVTCHNOP_reset, &reset), 0);
  say_status("a port after reset", port);
  evtchn_set_priority_t priority = {.port = port, .priority = 3};
  say_rc("set_priority with 2-level ports", OP(EVTCHNOP_set_priority, &priority));
  say_rc("operation 99", OP(99, &priority));
  say_rc("argument that is not mapped", OP(EVTCHNOP_send, (void *)USER_SCRATCH));
  say_rc("argument in Xen's hole", OP(EVTCHNOP_send, (void *)0xffff830000000000));
  evtchn_op_t compat = {.cmd = EVTCHNOP_alloc_unbound};
  compat.u.alloc_unbound.dom = DOMID_SELF;
  compat.u.alloc_unbound.remote_dom = DOMID_SELF;
  expect_rc("event_channel_op_compat", HYPERCALL_1(__HYPERVISOR_event_channel_op_compat, &compat), 0);
  say_status("its port", compat.u.alloc_unbound.port);
  compat.cmd = EVTCHNOP_reset;
  say_rc("event_channel_op_compat, reset", HYPERCALL_1(__HYPERVISOR_event_channel_op_compat, &compat));
}

void test_main(void) {
  unbound();
  interdomain();
  ipi_and_virq();
  masks();
  bind_vcpu();
  wrong_ports();
  exhaust();
  others();
}
