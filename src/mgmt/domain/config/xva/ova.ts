/** ova.xml, the first file of XenServer's and XCP-ng's exports (.xva): their database's records of one VM. */

import type { XmlElement } from '../../../xml/tree.js';
import type { Action, DiskDefinition } from '../../definition.js';
import { type Draft, newDraft } from '../draft.js';
import type { Notes } from '../notes.js';
import { nic, parseMac } from '../xl/vif.js';
import { RpcStruct, rpcValue } from './xml-rpc.js';

const MIB = 2 ** 20;
const SECTOR_BYTES = 512;
/** `after_reboot` and the like (xen-api: on_normal_exit, on_crash_behaviour). */
const ACTIONS: Readonly<Record<string, Action>> = {
  destroy: 'destroy',
  restart: 'restart',
  coredump_and_destroy: 'coredump-destroy',
  coredump_and_restart: 'coredump-restart',
  preserve: 'preserve',
  rename_restart: 'rename-restart',
};
const EVENTS = [
  ['actions_after_shutdown', 'on_poweroff'],
  ['actions_after_reboot', 'on_reboot'],
  ['actions_after_crash', 'on_crash'],
] as const;
/** Xen's OUI is for those that it makes up: the placeholder of a VIF without an address. */
const NO_MAC = '00:00:00:00:00:00';

class Ova {
  readonly draft: Draft = newDraft();
  private readonly records = new Map<string, { readonly kind: string; readonly fields: RpcStruct }>();

  /** @param archive path of the .xva; of a bare ova.xml undefined: its disks are missing */
  constructor(
    dump: RpcStruct,
    private readonly notes: Notes,
    private readonly archive: string | undefined,
  ) {
    for (const each of dump.list('objects')) {
      if (!(each instanceof RpcStruct)) continue;
      const fields = each.struct('snapshot');
      if (fields !== undefined) this.records.set(each.text('id'), { kind: each.text('class'), fields });
    }
  }

  read(): Draft {
    const machines = this.all('VM').filter((vm) => vm.text('is_control_domain') !== 'true');
    const [vm] = machines;
    if (vm === undefined) {
      this.notes.error(undefined, 'VM', 'there is no virtual machine in it');
      return this.draft;
    }
    for (const other of machines.slice(1)) {
      this.notes.add(
        'ignored',
        other.line,
        'VM',
        `also ${JSON.stringify(other.text('name_label'))}: the first one is taken`,
      );
    }
    if (vm.text('is_a_template') === 'true')
      this.notes.add('ignored', vm.lineOf('is_a_template'), 'is_a_template', 'taken as a guest');
    this.machine(vm);
    this.boot(vm);
    for (const vbd of this.of(vm, 'VBD', 'VBDs')) this.disk(vbd);
    this.draft.disks.sort((a, b) => a.vdev.length - b.vdev.length || (a.vdev < b.vdev ? -1 : 1));
    for (const vif of this.of(vm, 'VIF', 'VIFs').sort(
      (a, b) => Number(a.text('device')) - Number(b.text('device')),
    ))
      this.nic(vif);
    return this.draft;
  }

  private all(kind: string): RpcStruct[] {
    return [...this.records.values()].filter((each) => each.kind === kind).map(({ fields }) => fields);
  }

  private of(vm: RpcStruct, kind: string, list: string): RpcStruct[] {
    return vm.list(list).flatMap((id) => this.record(kind, id as string) ?? []);
  }

  private record(kind: string, id: string): RpcStruct | undefined {
    const record = this.records.get(id);
    return record?.kind === kind ? record.fields : undefined;
  }

  private machine(vm: RpcStruct): void {
    const { draft, notes } = this;
    const number = (field: string): number | undefined => {
      const text = vm.text(field);
      draft.lines.set(field, vm.lineOf(field));
      if (/^\d{1,15}$/.test(text)) return Number(text);
      if (text !== '') notes.error(vm.lineOf(field), field, `${JSON.stringify(text)} is not a whole number`);
      return undefined;
    };
    const mib = (field: string) => Math.floor((number(field) ?? 0) / MIB) || undefined;
    draft.name = vm.text('name_label');
    if (vm.text('uuid') !== '') draft.uuid = vm.text('uuid');
    Object.assign(draft, {
      memoryMiB: mib('memory_dynamic_max') ?? mib('memory_static_max'),
      maxMemoryMiB: mib('memory_static_max'),
      vcpus: number('VCPUs_at_startup'),
      maxVcpus: number('VCPUs_max'),
    });
    const lines = {
      name: 'name_label',
      uuid: 'uuid',
      memory: 'memory_dynamic_max',
      maxmem: 'memory_static_max',
    };
    for (const [option, field] of Object.entries({
      ...lines,
      vcpus: 'VCPUs_at_startup',
      maxvcpus: 'VCPUs_max',
    })) {
      draft.lines.set(option, vm.lineOf(field));
    }
    for (const [field, event] of EVENTS) {
      const action = Object.hasOwn(ACTIONS, vm.text(field)) ? ACTIONS[vm.text(field)] : undefined;
      if (action !== undefined) draft.lifecycle[event] = action;
    }
    const weight = vm.struct('VCPUs_params')?.text('weight') ?? '';
    if (/^\d{1,5}$/.test(weight)) draft.cpuWeight = Number(weight);
  }

  /** PV where HVM_boot_policy is empty; newer ones say it in domain_type. */
  private boot(vm: RpcStruct): void {
    const { draft, notes } = this;
    const type = vm.text('domain_type');
    const refused = type === '' || type === 'unspecified' ? vm.text('HVM_boot_policy') !== '' : type !== 'pv';
    if (refused) {
      draft.refused = true;
      const field = vm.text('HVM_boot_policy') !== '' ? 'HVM_boot_policy' : 'domain_type';
      const what = `this is no PV guest: ${field} is ${JSON.stringify(vm.text(field))}`;
      notes.error(vm.lineOf(field), field, `${what}; QEMU with KVM can run it`);
    }
    const [kernel, ramdisk] = [vm.text('PV_kernel'), vm.text('PV_ramdisk')];
    const loader = vm.text('PV_bootloader');
    if (loader !== '') draft.bootloader = loader;
    if (kernel !== '') draft.kernel = kernel;
    if (ramdisk !== '') draft.ramdisk = ramdisk;
    draft.bootloaderArgs = vm.text('PV_bootloader_args').split(/\s+/).filter(Boolean);
    draft.cmdline = [vm.text('PV_args'), vm.text('PV_legacy_args')].filter(Boolean).join(' ');
    for (const [option, field] of [
      ['kernel', 'PV_kernel'],
      ['bootloader', 'PV_bootloader'],
      ['cmdline', 'PV_args'],
    ] as const) {
      draft.lines.set(option, vm.lineOf(field));
    }
    if (loader === 'eliloader') {
      notes.add(
        'deprecated',
        vm.lineOf('PV_bootloader'),
        'PV_bootloader',
        'eliloader installs guests; once installed they start by pygrub',
      );
      draft.bootloader = 'pygrub';
    }
    if (this.all('VTPM').length > 0)
      notes.add('unsupported', vm.line, 'VTPM', 'the guest does not get this device');
  }

  private disk(vbd: RpcStruct): void {
    const vdev = deviceName(vbd);
    const cdrom = vbd.text('type') === 'CD';
    const id = vbd.text('VDI');
    const vdi = this.record('VDI', id);
    if (vdev === undefined) {
      this.notes.error(vbd.line, 'VBD', `no device is called ${JSON.stringify(vbd.text('userdevice'))}`);
      return;
    }
    const empty = vdi === undefined || vbd.text('empty') === 'true';
    if (empty && !cdrom) {
      this.notes.error(vbd.line, 'VBD', `the disk ${vdev} is not in the export`);
      return;
    }
    this.draft.lines.set('disk', vbd.line);
    const readOnly = cdrom || vbd.text('mode') === 'RO';
    this.draft.disks.push({
      vdev,
      readOnly,
      cdrom,
      ...{ discard: undefined, cache: undefined, passwordFile: undefined },
      ...this.source(id, vdev, cdrom ? undefined : vdi),
    });
  }

  /** A CD's medium is of the old host, and never in the export. */
  private source(
    id: string,
    vdev: string,
    vdi: RpcStruct | undefined,
  ): Pick<DiskDefinition, 'path' | 'format' | 'member' | 'sizeBytes'> {
    if (vdi === undefined) return { path: '', format: 'empty', member: undefined, sizeBytes: undefined };
    if (this.archive === undefined)
      this.notes.error(undefined, 'VDI', `${vdev} is ${id} of the .xva that this ova.xml is from: read that`);
    const size = vdi.text('virtual_size');
    const sizeBytes = Number(size);
    if (!/^\d{1,16}$/.test(size) || sizeBytes % SECTOR_BYTES !== 0)
      this.notes.error(vdi.lineOf('virtual_size'), 'VDI', `${JSON.stringify(size)} is no size of a disk`);
    return { path: this.archive ?? '', format: 'xva', member: id, sizeBytes };
  }

  private nic(vif: RpcStruct): void {
    const mac = parseMac(vif.text('MAC'));
    const network = this.record('network', vif.text('network'));
    const mtu = Number(vif.text('MTU'));
    const rate =
      vif.text('qos_algorithm_type') === 'ratelimit'
        ? Number(vif.struct('qos_algorithm_params')?.text('kbps'))
        : 0;
    const intervalUs = 50_000;
    const devid = Number(vif.text('device'));
    this.draft.nics.push(
      nic({
        mac: mac === NO_MAC ? undefined : mac,
        network: network?.text('name_label') || undefined,
        bridge: network?.text('bridge') || undefined,
        mtu: mtu > 0 && mtu <= 65_535 ? mtu : undefined,
        // KiB a second, whatever the name says (xen-api: Qos_policy of netback).
        rate:
          rate > 0 && rate < 2 ** 32
            ? { bytes: Math.floor((rate * 1024 * intervalUs) / 1e6), intervalUs }
            : undefined,
        devid: Number.isInteger(devid) && devid >= 0 && devid < 256 ? devid : undefined,
      }),
    );
  }
}

/** XenServer counts devices: 0 is xvda. */
function deviceName(vbd: RpcStruct): string | undefined {
  const text = vbd.text('userdevice') || vbd.text('device');
  if (/^(?:xvd|hd|sd)[a-z]{1,2}\d{0,2}$/.test(text)) return text;
  const index = Number(text);
  return /^\d{1,2}$/.test(text) && index < 26 ? `xvd${String.fromCharCode(97 + index)}` : undefined;
}

/** @throws XennerError ECONFIG_XML */
export function readOva(root: XmlElement, notes: Notes, archive: string | undefined): Draft {
  const dump = rpcValue(root);
  if (dump instanceof RpcStruct && dump.list('objects').length > 0)
    return new Ova(dump, notes, archive).read();
  notes.error(root.line, 'objects', 'this is no export of XenServer: it has no objects');
  return newDraft();
}
