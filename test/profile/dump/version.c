/* HYPERVISOR_xen_version, all of its commands. */
#include "dump.h"

#define NO_COMMAND 11

static char buffer[2048];

/* The text, and how many bytes of the buffer the call has written. */
static void dump_text(const char *name, unsigned cmd) {
  memset(buffer, 0x55, sizeof(buffer));
  long rc = HYPERVISOR_xen_version(cmd, buffer);
  size_t size = sizeof(buffer);
  while (size && buffer[size - 1] == 0x55)
    size--;
  print("%s: %s \"%s\" of %lu", name, errno_name(rc), size ? buffer : "", size);
}

void dump_version(void) {
  print("version: %lx", HYPERVISOR_xen_version(XENVER_version, NULL));
  dump_text("extraversion", XENVER_extraversion);
  static xen_compile_info_t info;
  memset(&info, 0x55, sizeof(info));
  say_rc("compile_info", HYPERVISOR_xen_version(XENVER_compile_info, &info));
  print("compiler \"%s\" by \"%s\" domain \"%s\" date \"%s\"", info.compiler, info.compile_by,
        info.compile_domain, info.compile_date);
  dump_text("capabilities", XENVER_capabilities);
  dump_text("changeset", XENVER_changeset);
  xen_platform_parameters_t platform = {0};
  say_rc("platform_parameters", HYPERVISOR_xen_version(XENVER_platform_parameters, &platform));
  print("virt_start: %lx", platform.virt_start);
  for (unsigned i = 0; i < 3; i++) {
    xen_feature_info_t features = {.submap_idx = i};
    long rc = HYPERVISOR_xen_version(XENVER_get_features, &features);
    print("features %u: %s %08x", i, errno_name(rc), features.submap);
  }
  print("pagesize: %ld", HYPERVISOR_xen_version(XENVER_pagesize, NULL));
  xen_domain_handle_t handle;
  say_rc("guest_handle", HYPERVISOR_xen_version(XENVER_guest_handle, &handle));
  dump_text("commandline", XENVER_commandline);
  xen_build_id_t *id = (xen_build_id_t *)buffer;
  id->len = 64;
  say_rc("build_id", HYPERVISOR_xen_version(XENVER_build_id, id));
  say_rc("the next command", HYPERVISOR_xen_version(NO_COMMAND, buffer));
}
