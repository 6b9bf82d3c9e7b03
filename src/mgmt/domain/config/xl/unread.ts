/** Options of xl.cfg(5) and of xm that this has no use for, each with the reason. What a reader asks for is not among them. */
import type { NoteKind } from '../../definition.js';

type Reason = readonly [kind: NoteKind, why: string, options: string];

const REASONS: readonly Reason[] = [
  [
    'ignored',
    'only HVM guests have it',
    `acpi acpi_firmware acpi_laptop_slate acpi_s3 acpi_s4 altp2m altp2mhvm apic audio bios bios_path_override boot cdrom
    device_model device_model_args device_model_args_hvm device_model_args_pv device_model_override
    device_model_stubdomain_override device_model_stubdomain_seclabel device_model_user device_model_version dm_restrict
    fda fdb firmware_override gfx_passthru guest_os_type hap hdtype hpet hvm isa keymap mca_caps mmio_hole monitor
    ms_vm_genid msr_relaxed nestedhvm nographic nx oos pae parallel rdm rdm_mem_boundary serial shadow_memory
    smbios_firmware soundhw spice spice_clipboard_sharing spice_image_compression spice_streaming_video
    spiceagent_mouse spicedisable_ticketing spicehost spicepasswd spiceport spicetls_port spiceusbredirection
    spicevdagent stdvga stubdomain_cmdline stubdomain_kernel stubdomain_memory stubdomain_ramdisk timer_mode usb
    usbdevice usbport usbversion vendor_device vga videoram viridian vpt_align xen_extended_power_mgmt
    xen_platform_pci`,
  ],
  ['ignored', 'only PVH guests have it', 'pvshim pvshim_cmdline pvshim_extra pvshim_path'],
  [
    'ignored',
    'it is for other processors',
    'arm_sci device_tree gic_version nr_spis sve_vl tee vhpt vpci vuart',
  ],
  [
    'ignored',
    "it is the host's affair: where and when a guest's threads run, and with which rights, is set there",
    `access_control access_policy access_label blkif bootloader_restrict bootloader_user budget claim_mode cpu cpupool
    cpus cpus_soft driver_domain extratime init_seclabel latency machine_address_size memory_sharing netif period
    pool seclabel slice superpages suppress_spurious_page_faults tmem tpmif vcpu_avail vmtrace_buf_kb vpmu`,
  ],
  [
    'ignored',
    'every guest has enough',
    'max_event_channels max_grant_frames max_grant_version max_maptrack_frames iommu_memkb hap_memkb',
  ],
  ['ignored', "a guest's time stamp counter is the host's", 'tsc_mode tsc_native'],
  [
    'ignored',
    'nothing depends on it',
    'autostart description features nomigrate on_xend_start on_xend_stop snapshot target',
  ],
  [
    'ignored',
    'it is for the tools of old hosts',
    'bootentry shadow suspend xend_suspend_evtchn_compat e820_host',
  ],
  [
    'ignored',
    'xm made an ip= for the kernel of it, xl does not: say it in extra=',
    'dhcp gateway hostname interface ip netmask nfs_root nfs_server',
  ],
  [
    'unsupported',
    'there is no graphical console: the guest has its text console',
    `display opengl sdl vdispl vfb vkb vkb_device vnc vncconsole vncdisplay vnclisten vncpasswd vncunused vncviewer
    xauthority`,
  ],
  [
    'unsupported',
    'the guest does not get this device',
    `channel dtdev iomem ioports irq irqs p9 pci pci_msitranslate pci_permissive pci_power_mgmt pci_seize pvcalls
    passthrough usbctrl usbdev vif2 virtio vscsi vsnd vtpm xen_9pfs`,
  ],
  ['unsupported', "what a guest sees of its processor is its profile's affair", 'cpuid cpuid_check'],
  ['unsupported', 'a guest has one NUMA node', 'vnuma'],
  ['unsupported', "the guest's wall clock is UTC", 'localtime rtc_timeoffset'],
];

const BY_NAME = new Map(
  REASONS.flatMap(([kind, why, options]) =>
    options.split(/\s+/).map((name) => [name, { kind, why }] as const),
  ),
);

export const UNREAD_OPTIONS: ReadonlyMap<string, { readonly kind: NoteKind; readonly why: string }> = BY_NAME;
