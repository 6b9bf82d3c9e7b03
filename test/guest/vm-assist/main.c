/*
 * Rule: HYPERVISOR_vm_assist enables and disables the assists that the kind of domain knows; any other is
 * -EINVAL or -ENOSYS (xen/common/kernel.c do_vm_assist, VM_ASSIST_VALID in xen/include/asm-x86/config.h).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_vm_assist";

void test_main(void) {
  static const struct {
    const char *name;
    unsigned type;
  } types[] = {{"4gb_segments", VMASST_TYPE_4gb_segments},
               {"4gb_segments_notify", VMASST_TYPE_4gb_segments_notify},
               {"writable_pagetables", VMASST_TYPE_writable_pagetables},
               {"pae_extended_cr3", VMASST_TYPE_pae_extended_cr3},
               {"architectural_iopl", VMASST_TYPE_architectural_iopl},
               {"runstate_update_flag", VMASST_TYPE_runstate_update_flag},
               {"type 7", 7},
               {"m2p_strict", VMASST_TYPE_m2p_strict},
               {"type 33", 33},
               {"type 63", 63},
               {"type 64", 64},
               {"type 0xffffffff", 0xffffffff}};
  char name[64];
  for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
    format(name, sizeof(name), "enable %s", types[i].name);
    say_rc(name, HYPERVISOR_vm_assist(VMASST_CMD_enable, types[i].type));
    format(name, sizeof(name), "disable %s", types[i].name);
    say_rc(name, HYPERVISOR_vm_assist(VMASST_CMD_disable, types[i].type));
  }
  say_rc("command 2", HYPERVISOR_vm_assist(2, VMASST_TYPE_writable_pagetables));
}
