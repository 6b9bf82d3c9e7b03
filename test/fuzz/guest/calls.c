/* One random hypercall: its number, and arguments of the kinds that it takes. */
#include "fuzz.h"
#include <xen/version.h>

#define NR_KNOWN 64

static ulong port(void) {
  return one_in(8) ? value() : below(one_in(2) ? 12 : 4200);
}

/* The union's first members: a port, or domains and a port. */
static ulong event_structure(ulong cmd) {
  uint32_t *op = structure(32);
  if (cmd == EVTCHNOP_alloc_unbound || cmd == EVTCHNOP_status || cmd == EVTCHNOP_bind_interdomain ||
      cmd == EVTCHNOP_reset) {
    op[0] = (uint16_t)domid() | (uint32_t)domid() << 16;
    op[1] = (uint32_t)port();
  } else {
    op[0] = (uint32_t)port();
    op[1] = (uint32_t)(one_in(4) ? value() : 0);
    if (cmd == EVTCHNOP_bind_virq) op[0] = (uint32_t)(one_in(4) ? value() : below(26));
    if (cmd == EVTCHNOP_bind_ipi) op[0] = one_in(4) ? (uint32_t)value() : 0;
  }
  return one_in(16) ? pointer() : (ulong)op;
}

static void draw_event_channel_op(struct call *call) {
  ulong cmd = one_in(32) ? value() : below(15);
  if (cmd == EVTCHNOP_reset && !one_in(16)) cmd = EVTCHNOP_send;
  call->args[0] = cmd;
  call->args[1] = event_structure(cmd);
}

static void draw_compat(struct call *call) {
  uint32_t *op = structure(64);
  op[0] = one_in(8) ? (uint32_t)value() : (uint32_t)below(16);
  if (one_in(2)) memcpy(op + 2, (void *)structure(32), 32);
  call->args[0] = one_in(8) ? pointer() : (ulong)op;
}

static void draw_set_trap_table(struct call *call) {
  ulong n = 1 + below(8);
  trap_info_t *table = structure((n + 1) * sizeof(*table));
  for (ulong i = 0; i < n; i++)
    table[i] = (trap_info_t){(uint8_t)draw(), (uint8_t)draw(), (uint16_t)draw(), value()};
  if (!one_in(4)) table[n].address = 0;
  call->args[0] = one_in(8) ? 0 : one_in(8) ? pointer() : (ulong)table;
}

static void draw_set_gdt(struct call *call) {
  ulong *frames = structure(16 * sizeof(ulong));
  for (unsigned i = 0; i < 16; i++)
    frames[i] = one_in(8) ? value() : frame();
  call->args[0] = one_in(8) ? pointer() : (ulong)frames;
  call->args[1] = one_in(8) ? value() : below(one_in(2) ? 512 : 7200);
}

static void draw_update_descriptor(struct call *call) {
  call->args[0] = (frame() << PAGE_SHIFT) + (one_in(4) ? below(PAGE_SIZE) : below(512) * 8);
  call->args[1] = one_in(2) ? draw() : 0x00affb000000ffff ^ (1ul << below(64));
}

/* A breakpoint where the trap handler passes would never end: it is set elsewhere. */
static void draw_set_debugreg(struct call *call) {
  call->args[0] = one_in(8) ? value() : below(8);
  call->args[1] = one_in(4) ? value() : call->args[0] < 4 ? window() : draw() >> below(64);
}

static void draw_multicall(struct call *call) {
  ulong n = 1 + below(4);
  multicall_entry_t *list = structure(n * sizeof(*list));
  for (ulong i = 0; i < n; i++) {
    struct call single = {0};
    draw_single(&single, below(50));
    /* The calls before it may have taken away what would wake the vCPU, or the handler of NMIs. */
    bool nmi = single.nr == __HYPERVISOR_vcpu_op && (unsigned)single.args[0] == VCPUOP_send_nmi;
    if (!wild && (nmi || single.nr == __HYPERVISOR_sched_op)) single.nr = __HYPERVISOR_arch_0;
    list[i].op = single.nr;
    memcpy(list[i].args, single.args, sizeof(single.args));
  }
  call->args[0] = one_in(16) && wild ? pointer() : (ulong)list;
  call->args[1] = one_in(16) && wild ? value() : n;
}

static void draw_console_io(struct call *call) {
  call->args[0] = one_in(8) ? value() : 0;
  call->args[1] = one_in(500) ? below(1 << 18) : one_in(8) ? (2 << 20) + value() : below(32);
  call->args[2] = pointer();
}

static void draw_vcpu_op(struct call *call) {
  unsigned cmd = one_in(16) ? (unsigned)value() : (unsigned)below(16);
  uint64_t *op = structure(sizeof(struct vcpu_guest_context) < 5200 && one_in(8) ? 5200 : 64);
  bool tells_time = cmd == VCPUOP_get_runstate_info || cmd == VCPUOP_register_runstate_memory_area ||
                    cmd == VCPUOP_register_vcpu_time_memory_area;
  if (cmd == VCPUOP_down || (steady && tells_time)) cmd = VCPUOP_is_up;
  if (cmd == VCPUOP_set_singleshot_timer || cmd == VCPUOP_set_periodic_timer)
    op[0] = one_in(4) ? value() : now() + below(3000000);
  if (cmd == VCPUOP_register_runstate_memory_area || cmd == VCPUOP_register_vcpu_time_memory_area)
    op[0] = window();
  if (cmd == VCPUOP_register_vcpu_info) op[0] = frame();
  call->args[0] = cmd;
  call->args[1] = one_in(8) ? value() : 0;
  call->args[2] = cmd == VCPUOP_send_nmi ? 0 : one_in(16) ? pointer() : (ulong)op;
}

static void draw_sched_op(struct call *call) {
  static const unsigned careful[] = {
      SCHEDOP_yield, SCHEDOP_block, SCHEDOP_poll, SCHEDOP_remote_shutdown, SCHEDOP_pin_override, 9, 77};
  ulong cmd = wild && one_in(4) ? below(10) : PICK(careful);
  if (cmd == SCHEDOP_shutdown || cmd == SCHEDOP_shutdown_code) cmd = SCHEDOP_yield;
  if ((cmd == SCHEDOP_block || cmd == SCHEDOP_poll) && (steady || !one_in(20))) cmd = SCHEDOP_yield;
  uint32_t *op = structure(32);
  if (cmd == SCHEDOP_poll) {
    sched_poll_t *poll = (sched_poll_t *)op;
    set_xen_guest_handle(poll->ports, (evtchn_port_t *)pointer());
    poll->nr_ports = (unsigned)(one_in(4) ? value() : below(4));
    poll->timeout = one_in(4) ? 1 + below(100) : now() + below(100000);
  }
  call->args[0] = cmd;
  call->args[1] = (ulong)op;
}

static void draw_sched_op_compat(struct call *call) {
  call->args[0] = one_in(4) ? 3 + below(100) : SCHEDOP_yield; /* no block, no shutdown */
  call->args[1] = value();
}

static void draw_set_timer_op(struct call *call) {
  call->args[0] = one_in(4) ? value() : now() + below(1000000);
}

/* A domctl or its like: a command, then the version that Xen wants to see. */
static void draw_control(struct call *call) {
  uint32_t *op = structure(160);
  op[0] = (uint32_t)small();
  op[1] = one_in(4) ? (uint32_t)value() : call->nr == __HYPERVISOR_platform_op ? 0x03000001 : 0x15;
  if (one_in(2)) op[2] = (uint16_t)domid();
  call->args[0] = one_in(8) ? pointer() : (ulong)op;
}

/* A command, and a structure or a pointer to anything. */
static void draw_command(struct call *call) {
  call->args[0] = one_in(8) ? value() : small();
  call->args[1] = one_in(4) ? pointer() : (ulong)structure(128);
  call->args[2] = value();
}

/* The guest's handle is another one each time. */
static void draw_xen_version(struct call *call) {
  draw_command(call);
  if (steady && (unsigned)call->args[0] == XENVER_guest_handle) call->args[0] = XENVER_version;
}

static void draw_values(struct call *call) {
  for (unsigned i = 0; i < ARRAY_SIZE(call->args); i++)
    call->args[i] = value();
}

static void (*const draws[NR_KNOWN])(struct call *) = {
    [__HYPERVISOR_set_trap_table] = draw_set_trap_table,
    [__HYPERVISOR_mmu_update] = draw_mmu_update,
    [__HYPERVISOR_set_gdt] = draw_set_gdt,
    [__HYPERVISOR_sched_op_compat] = draw_sched_op_compat,
    [__HYPERVISOR_platform_op] = draw_control,
    [__HYPERVISOR_set_debugreg] = draw_set_debugreg,
    [__HYPERVISOR_update_descriptor] = draw_update_descriptor,
    [__HYPERVISOR_memory_op] = draw_memory_op,
    [__HYPERVISOR_multicall] = draw_multicall,
    [__HYPERVISOR_update_va_mapping] = draw_update_va_mapping,
    [__HYPERVISOR_set_timer_op] = draw_set_timer_op,
    [__HYPERVISOR_event_channel_op_compat] = draw_compat,
    [__HYPERVISOR_xen_version] = draw_xen_version,
    [__HYPERVISOR_console_io] = draw_console_io,
    [__HYPERVISOR_physdev_op_compat] = draw_compat,
    [__HYPERVISOR_grant_table_op] = draw_grant_table_op,
    [__HYPERVISOR_update_va_mapping_otherdomain] = draw_update_va_mapping,
    [__HYPERVISOR_vcpu_op] = draw_vcpu_op,
    [__HYPERVISOR_mmuext_op] = draw_mmuext_op,
    [__HYPERVISOR_xsm_op] = draw_command,
    [__HYPERVISOR_nmi_op] = draw_command,
    [__HYPERVISOR_sched_op] = draw_sched_op,
    [__HYPERVISOR_callback_op] = draw_command,
    [__HYPERVISOR_xenoprof_op] = draw_command,
    [__HYPERVISOR_event_channel_op] = draw_event_channel_op,
    [__HYPERVISOR_physdev_op] = draw_command,
    [__HYPERVISOR_hvm_op] = draw_command,
    [__HYPERVISOR_sysctl] = draw_control,
    [__HYPERVISOR_domctl] = draw_control,
};

void draw_single(struct call *call, ulong nr) {
  call->nr = nr;
  /* main.c makes better ones; this ends a wild kernel nearly always. */
  if (nr == __HYPERVISOR_iret && !(wild && one_in(50))) call->nr = __HYPERVISOR_stack_switch;
  if (call->nr < NR_KNOWN && draws[call->nr])
    draws[call->nr](call);
  else
    draw_values(call);
}

/* The calls with many operations come more often than their numbers. */
void draw_call(struct call *call) {
  static const unsigned often[] = {__HYPERVISOR_mmu_update,        __HYPERVISOR_mmuext_op,
                                   __HYPERVISOR_update_va_mapping, __HYPERVISOR_grant_table_op,
                                   __HYPERVISOR_memory_op,         __HYPERVISOR_event_channel_op,
                                   __HYPERVISOR_multicall,         __HYPERVISOR_vcpu_op};
  memset(call, 0, sizeof(*call));
  begin_call();
  draw_single(call, one_in(2) ? PICK(often) : one_in(32) ? value() : below(64));
}
