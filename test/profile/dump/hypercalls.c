/* Which hypercalls and which of their commands there are: with arguments that none can accept. */
#include "dump.h"

#define NOWHERE 0xffff900000000000ul /* Xen's own */

static void dump_commands(const char *name, unsigned nr, unsigned first, unsigned count) {
  for (unsigned cmd = first; cmd < first + count; cmd++) {
    long rc = HYPERCALL_3(nr, cmd, NOWHERE, 1);
    if (rc != -XEN_ENOSYS) print("%s %u: %s", name, cmd, errno_name(rc));
  }
}

void dump_hypercalls(void) {
  /* Of these any command ends in an error or changes nothing; the rest a kernel cannot do without. */
  dump_commands("platform_op", __HYPERVISOR_platform_op, 0, 1);
  dump_commands("memory_op", __HYPERVISOR_memory_op, 3, 29);
  dump_commands("event_channel_op", __HYPERVISOR_event_channel_op, 0, 16);
  dump_commands("physdev_op", __HYPERVISOR_physdev_op, 0, 40);
  dump_commands("hvm_op", __HYPERVISOR_hvm_op, 0, 30);
  dump_commands("callback_op", __HYPERVISOR_callback_op, 0, 6);
  dump_commands("nmi_op", __HYPERVISOR_nmi_op, 1, 3);
  dump_commands("sched_op", __HYPERVISOR_sched_op, 2, 8);
  for (unsigned cmd = 0; cmd < 16; cmd++) {
    long rc = cmd == VCPUOP_down ? -XEN_ENOSYS : HYPERVISOR_vcpu_op(cmd, 0, NOWHERE);
    if (rc != -XEN_ENOSYS) print("vcpu_op %u: %s", cmd, errno_name(rc));
  }
  for (unsigned cmd = 0; cmd < 24; cmd++) {
    long rc = mmuext(cmd, ~0ul, ~0ul);
    if (rc != -XEN_ENOSYS) print("mmuext_op %u: %s", cmd, errno_name(rc));
  }
  for (unsigned type = 0; type < 40; type++) {
    long rc = HYPERVISOR_vm_assist(VMASST_CMD_disable, type);
    if (rc != -XEN_EINVAL) print("vm_assist type %u: %s", type, errno_name(rc));
  }
  dump_commands("grant_table_op", __HYPERVISOR_grant_table_op, 0, 14);
  static const unsigned whole[] = {__HYPERVISOR_xsm_op,
                                   __HYPERVISOR_xenoprof_op,
                                   __HYPERVISOR_sysctl,
                                   __HYPERVISOR_domctl,
                                   __HYPERVISOR_kexec_op,
                                   __HYPERVISOR_tmem_op,
                                   __HYPERVISOR_argo_op,
                                   __HYPERVISOR_xenpmu_op,
                                   __HYPERVISOR_dm_op,
                                   __HYPERVISOR_hypfs_op,
                                   __HYPERVISOR_arch_0,
                                   __HYPERVISOR_arch_1,
                                   __HYPERVISOR_arch_7,
                                   11,
                                   43,
                                   47,
                                   56,
                                   63,
                                   64};
  for (unsigned i = 0; i < ARRAY_SIZE(whole); i++) {
    char name[24];
    format(name, sizeof(name), "hypercall %u", whole[i]);
    say_rc(name, HYPERCALL_3(whole[i], NOWHERE, NOWHERE, 1));
  }
}
