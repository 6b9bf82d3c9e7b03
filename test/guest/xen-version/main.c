/*
 * Rule: HYPERVISOR_xen_version's commands, with results in the return value or in the argument; an unknown
 * command is -ENOSYS (xen/common/kernel.c do_xen_version, xen/include/public/version.h).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_xen_version";

static bool has(const char *text, const char *word) {
  size_t n = strlen(word);
  for (; *text; text++)
    if (memcmp(text, word, n) == 0) return true;
  return false;
}

/* Text fields hold something that ends within the field. */
static void text(const char *name, unsigned cmd, size_t size) {
  static char buffer[2048];
  memset(buffer, 0x55, sizeof(buffer));
  long rc = HYPERVISOR_xen_version(cmd, buffer);
  expect_rc(name, rc, 0);
  size_t n = 0;
  while (n < size && buffer[n])
    n++;
  check(n < size, "%s has no end", name);
  check(buffer[size] == 0x55, "%s is longer than its field", name);
}

void test_main(void) {
  expect_hex("version", (uint64_t)HYPERVISOR_xen_version(XENVER_version, NULL), 0x40011);
  text("extraversion", XENVER_extraversion, XEN_EXTRAVERSION_LEN);
  text("changeset", XENVER_changeset, XEN_CHANGESET_INFO_LEN);
  text("capabilities", XENVER_capabilities, XEN_CAPABILITIES_INFO_LEN);
  static char capabilities[1024 + 1];
  HYPERVISOR_xen_version(XENVER_capabilities, capabilities);
  expect_hex("capabilities has xen-3.0-x86_64", has(capabilities, "xen-3.0-x86_64"), 1);
  text("commandline", XENVER_commandline, sizeof(xen_commandline_t));
  static xen_compile_info_t compile;
  expect_rc("compile_info", HYPERVISOR_xen_version(XENVER_compile_info, &compile), 0);
  xen_platform_parameters_t platform = {0};
  expect_rc("platform_parameters", HYPERVISOR_xen_version(XENVER_platform_parameters, &platform), 0);
  expect_hex("virt_start", platform.virt_start, 0xffff800000000000);
  expect("pagesize", (uint64_t)HYPERVISOR_xen_version(XENVER_pagesize, NULL), 4096);
  xen_domain_handle_t handle;
  expect_rc("guest_handle", HYPERVISOR_xen_version(XENVER_guest_handle, &handle), 0);

  /* Bits of a 64-bit PV guest; XENFEAT_dom0 and the direct-mapped ones differ by domain. */
  static const struct {
    const char *name;
    unsigned bit;
  } features[] = {{"writable_page_tables", XENFEAT_writable_page_tables},
                  {"writable_descriptor_tables", XENFEAT_writable_descriptor_tables},
                  {"auto_translated_physmap", XENFEAT_auto_translated_physmap},
                  {"supervisor_mode_kernel", XENFEAT_supervisor_mode_kernel},
                  {"pae_pgdir_above_4gb", XENFEAT_pae_pgdir_above_4gb},
                  {"mmu_pt_update_preserve_ad", XENFEAT_mmu_pt_update_preserve_ad},
                  {"highmem_assist", XENFEAT_highmem_assist},
                  {"gnttab_map_avail_bits", XENFEAT_gnttab_map_avail_bits},
                  {"hvm_callback_vector", XENFEAT_hvm_callback_vector},
                  {"hvm_safe_pvclock", XENFEAT_hvm_safe_pvclock}};
  xen_feature_info_t info = {.submap_idx = 0};
  expect_rc("get_features", HYPERVISOR_xen_version(XENVER_get_features, &info), 0);
  for (unsigned i = 0; i < ARRAY_SIZE(features); i++)
    print("feature %s: %u", features[i].name, info.submap >> features[i].bit & 1);
  info.submap_idx = 1;
  say_rc("get_features 1", HYPERVISOR_xen_version(XENVER_get_features, &info));
  info.submap_idx = 99;
  say_rc("get_features 99", HYPERVISOR_xen_version(XENVER_get_features, &info));
  say_rc("command 99", HYPERVISOR_xen_version(99, NULL));
  say_rc("extraversion, bad argument", HYPERVISOR_xen_version(XENVER_extraversion, (void *)USER_SCRATCH));
  say_rc("get_features, bad argument", HYPERVISOR_xen_version(XENVER_get_features, (void *)USER_SCRATCH));
  say_rc("extraversion in Xen's hole",
         HYPERVISOR_xen_version(XENVER_extraversion, (void *)0xffff830000000000));
}
