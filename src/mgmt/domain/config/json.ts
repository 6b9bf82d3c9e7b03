/**
 * Definitions as libxl writes them: what `xl create --dryrun` prints, and `xl list -l` in its lists (Xen:
 * tools/libs/light/libxl_types.idl, struct libxl_domain_config). Members with their default value are left out, as libxl does.
 */
import type {
  Action,
  Boot,
  DiskDefinition,
  DomainDefinition,
  Lifecycle,
  NicDefinition,
} from '../definition.js';
import { type Draft, newDraft } from './draft.js';
import type { Notes } from './notes.js';
import { cacheMode, diskFormat } from './xl/disk.js';
import { nic, parseMac } from './xl/vif.js';

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

const KIB_PER_MIB = 1024;
/** libxl_action_on_shutdown, by the words of xl.cfg. */
const ACTIONS: Readonly<Record<Action, string>> = {
  destroy: 'destroy',
  restart: 'restart',
  'rename-restart': 'restart_rename',
  preserve: 'preserve',
  'coredump-destroy': 'coredump_destroy',
  'coredump-restart': 'coredump_restart',
  'soft-reset': 'soft_reset',
};
const EVENTS = ['on_poweroff', 'on_reboot', 'on_watchdog', 'on_crash', 'on_soft_reset'] as const;

/** Without the members that are undefined. */
function said(members: { readonly [name: string]: Json | undefined }): JsonObject {
  return Object.fromEntries(
    Object.entries(members).filter((entry): entry is [string, Json] => entry[1] !== undefined),
  );
}

export function toLibxl(definition: DomainDefinition): JsonObject {
  const { name, uuid, vcpus, maxVcpus, cpuWeight, cpuCap, boot, disks, nics, lifecycle } = definition;
  return said({
    c_info: said({ type: 'pv', name, uuid }),
    b_info: said({
      max_vcpus: maxVcpus,
      avail_vcpus: Array.from({ length: vcpus }, (_, i) => i),
      max_memkb: definition.maxMemoryMiB * KIB_PER_MIB,
      target_memkb: definition.memoryMiB * KIB_PER_MIB,
      sched_params: said({ weight: cpuWeight, cap: cpuCap }),
      ...(boot === undefined ? {} : fromBoot(boot)),
      'type.pv': {},
    }),
    disks: disks.length === 0 ? undefined : disks.map(fromDisk),
    nics: nics.length === 0 ? undefined : nics.map(fromNic),
    ...fromLifecycle(lifecycle),
  });
}

function fromBoot(boot: Boot): JsonObject {
  const files = { kernel: boot.kernel, cmdline: boot.cmdline || undefined, ramdisk: boot.ramdisk };
  if (boot.by !== 'pygrub') return said(files);
  const { args } = boot;
  return said({ ...files, bootloader: 'pygrub', bootloader_args: args.length === 0 ? undefined : [...args] });
}

/** With members of our own for what libxl does not know. */
function fromDisk(disk: DiskDefinition): JsonObject {
  const { path, vdev, format, member, sizeBytes, readOnly, cdrom, discard, cache, passwordFile } = disk;
  return said({
    pdev_path: path || undefined,
    ...{ vdev, format, member, size_bytes: sizeBytes, cache, password_file: passwordFile },
    removable: cdrom ? 1 : undefined,
    readwrite: readOnly ? undefined : 1,
    is_cdrom: cdrom ? 1 : undefined,
    discard_enable: discard === undefined ? undefined : discard ? 'True' : 'False',
  });
}

/** The same. */
function fromNic(definition: NicDefinition, index: number): JsonObject {
  const { mac, bridge, macvtap, network, gatewaydev, ip, script, vifname, model, mtu, rate, devid } =
    definition;
  return said({
    ...{ devid: devid ?? index, mtu, model, mac, ip, bridge, macvtap, network, ifname: vifname, script },
    rate_bytes_per_interval: rate?.bytes,
    rate_interval_usecs: rate?.intervalUs,
    gatewaydev,
  });
}

function fromLifecycle(lifecycle: Lifecycle): JsonObject {
  const events = EVENTS.map((event) => [event, ACTIONS[lifecycle[event]]] as const);
  return Object.fromEntries(events.filter(([, action]) => action !== 'destroy'));
}

/** What libxl wrote, wherever it comes from: every member is looked at before it is believed. */
class Reader {
  readonly draft: Draft = newDraft();

  constructor(
    private readonly root: JsonObject,
    private readonly notes: Notes,
  ) {}

  read(): Draft {
    const { draft, root } = this;
    const created = this.object(root.c_info);
    const built = this.object(root.b_info);
    const type = this.text(created, 'type') ?? 'pv';
    if (type !== 'pv')
      this.notes.error(
        undefined,
        'type',
        `this is no PV guest but a guest of the type ${JSON.stringify(type)}`,
      );
    const online = built.avail_vcpus;
    this.put({
      name: this.text(created, 'name'),
      uuid: this.text(created, 'uuid'),
      memoryMiB: this.mib(built, 'target_memkb') ?? this.mib(built, 'max_memkb'),
      maxMemoryMiB: this.mib(built, 'max_memkb'),
      maxVcpus: this.number(built, 'max_vcpus'),
      vcpus: Array.isArray(online) && online.length > 0 ? online.length : undefined,
      cpuWeight: this.number(this.object(built.sched_params), 'weight'),
      cpuCap: this.number(this.object(built.sched_params), 'cap'),
      kernel: this.text(built, 'kernel'),
      ramdisk: this.text(built, 'ramdisk'),
      cmdline: this.text(built, 'cmdline'),
      bootloader: this.text(built, 'bootloader'),
      bootloaderArgs: this.list(built.bootloader_args).filter((each) => typeof each === 'string'),
    });
    draft.disks = this.list(root.disks).flatMap((disk) => this.disk(this.object(disk)));
    draft.nics = this.list(root.nics).map((each) => this.nic(this.object(each)));
    for (const event of EVENTS) this.action(event);
    for (const device of ['pcidevs', 'vfbs', 'vtpms', 'usbdevs', 'usbctrls', 'p9', 'channels']) {
      if (this.list(root[device]).length > 0)
        this.notes.add('unsupported', undefined, device, 'the guest does not get this device');
    }
    return draft;
  }

  private put(members: { readonly [K in keyof Draft]?: Draft[K] | undefined }): void {
    for (const [key, value] of Object.entries(members))
      if (value !== undefined) Object.assign(this.draft, { [key]: value });
  }

  private object(value: Json | undefined): JsonObject {
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
  }

  private list(value: Json | undefined): readonly Json[] {
    return Array.isArray(value) ? value : [];
  }

  private text(of: JsonObject, name: string): string | undefined {
    const value = Object.hasOwn(of, name) ? of[name] : undefined;
    if (value === undefined || value === null || typeof value === 'string') return value ?? undefined;
    this.notes.error(undefined, name, 'a string is expected');
    return undefined;
  }

  private number(of: JsonObject, name: string): number | undefined {
    const value = Object.hasOwn(of, name) ? of[name] : undefined;
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    this.notes.error(undefined, name, 'a whole number is expected');
    return undefined;
  }

  private mib(of: JsonObject, name: string): number | undefined {
    const kib = this.number(of, name);
    return kib === undefined ? undefined : Math.ceil(kib / KIB_PER_MIB);
  }

  private disk(of: JsonObject): DiskDefinition[] {
    const vdev = this.text(of, 'vdev');
    const format = diskFormat(this.text(of, 'format') ?? 'raw');
    if (vdev === undefined || format === undefined) {
      this.notes.error(undefined, 'disks', 'a disk without a device or with an unknown format');
      return [];
    }
    const cdrom = Boolean(of.is_cdrom);
    const discard = { True: true, False: false }[this.text(of, 'discard_enable') ?? ''];
    const path = this.text(of, 'pdev_path') ?? '';
    return [
      {
        ...{ vdev, path, format, cdrom, discard, cache: cacheMode(this.text(of, 'cache') ?? '') },
        passwordFile: this.text(of, 'password_file'),
        member: this.text(of, 'member'),
        sizeBytes: this.number(of, 'size_bytes'),
        readOnly: cdrom || !of.readwrite,
      },
    ];
  }

  private nic(of: JsonObject): NicDefinition {
    const [bytes, intervalUs] = [
      this.number(of, 'rate_bytes_per_interval'),
      this.number(of, 'rate_interval_usecs'),
    ];
    return nic({
      mac: parseMac(this.text(of, 'mac') ?? ''),
      bridge: this.text(of, 'bridge'),
      macvtap: this.text(of, 'macvtap'),
      network: this.text(of, 'network'),
      gatewaydev: this.text(of, 'gatewaydev'),
      ip: this.text(of, 'ip'),
      script: this.text(of, 'script'),
      vifname: this.text(of, 'ifname'),
      model: this.text(of, 'model'),
      mtu: this.number(of, 'mtu'),
      rate: bytes === undefined || intervalUs === undefined ? undefined : { bytes, intervalUs },
      devid: this.number(of, 'devid'),
    });
  }

  private action(event: keyof Lifecycle): void {
    // What is left out is libxl's default, not xl's.
    const word = this.text(this.root, event) ?? 'destroy';
    const action = (Object.keys(ACTIONS) as Action[]).find((each) => ACTIONS[each] === word);
    if (action === undefined) this.notes.error(undefined, event, `${JSON.stringify(word)} is no action`);
    else this.draft.lifecycle[event] = action;
  }
}

/** One domain's configuration, or what `xl list -l` prints of one. */
export function readLibxl(value: unknown, notes: Notes): Draft {
  const list = (Array.isArray(value) ? value : [value]) as Json[];
  if (list.length > 1)
    notes.add('ignored', undefined, 'config', `${list.length - 1} more domains: the first one is taken`);
  const [first] = list;
  const outer = typeof first === 'object' && first !== null && !Array.isArray(first) ? first : {};
  const config = Object.hasOwn(outer, 'config') ? outer.config : outer;
  const root = typeof config === 'object' && config !== null && !Array.isArray(config) ? config : {};
  if (!Object.hasOwn(root, 'c_info') && !Object.hasOwn(root, 'b_info')) {
    notes.error(undefined, 'c_info', 'this is no configuration of libxl: it has neither c_info nor b_info');
  }
  return new Reader(root, notes).read();
}
