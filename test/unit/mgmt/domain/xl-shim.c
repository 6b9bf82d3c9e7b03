// Lets xl read configurations (`xl create --dryrun`) where there is no Xen: put in front of its libraries by
// LD_PRELOAD, it answers what xl asks of a hypervisor before it comes to the file. No other command of xl's
// works with it.
#include <libxl.h>

// Never looked into: what would do so is answered here.
static char handle[4096];

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags) {
  (void)logger, (void)dombuild_logger, (void)flags;
  return handle;
}

int xc_interface_close(void *xch) {
  (void)xch;
  return 0;
}

void *xs_open(unsigned long flags) {
  (void)flags;
  return handle;
}

void xs_close(void *xsh) {
  (void)xsh;
}

const libxl_version_info *libxl_get_version_info(libxl_ctx *ctx) {
  static libxl_version_info info;
  (void)ctx;
  info.xen_version_extra = info.compiler = info.changeset = info.capabilities = info.commandline = "";
  return &info;
}

int libxl_get_physinfo(libxl_ctx *ctx, libxl_physinfo *physinfo) {
  (void)ctx;
  physinfo->nr_nodes = 1;
  return 0;
}

int libxl_get_max_cpus(libxl_ctx *ctx) {
  (void)ctx;
  return 64;
}
