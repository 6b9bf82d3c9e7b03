/** `<devices>` of libvirt's domain XML. */
import { resolve } from 'node:path';
import type { XmlElement } from '../../../xml/tree.js';
import type { DiskFormat, NicDefinition } from '../../definition.js';
import { cacheMode, diskFormat } from '../xl/disk.js';
import { nic, parseMac } from '../xl/vif.js';
import type { XmlReading } from './libvirt.js';

const NO_GRAPHICS = 'there is no graphical console: the guest has its text console';
const NO_DEVICE = 'the guest does not get this device';
const OTHERS: Readonly<Record<string, readonly ['ignored' | 'unsupported', string] | undefined>> = {
  console: undefined,
  emulator: undefined,
  serial: ['ignored', 'only HVM guests have it'],
  parallel: ['ignored', 'only HVM guests have it'],
  controller: ['ignored', 'a PV guest has no buses'],
  memballoon: undefined,
  graphics: ['unsupported', NO_GRAPHICS],
  video: ['unsupported', NO_GRAPHICS],
  input: ['unsupported', NO_GRAPHICS],
};
/** What xend's tap devices called them. */
const DRIVER_FORMATS: Readonly<Record<string, string>> = { aio: 'raw', tapdisk: 'raw', vpc: 'vhd' };

export function readDevices(reading: XmlReading, devices: XmlElement): void {
  for (const element of devices.children) {
    const { name, line } = element;
    if (name === 'disk') readDisk(reading, element);
    else if (name === 'interface') readInterface(reading, element);
    else if (!Object.hasOwn(OTHERS, name)) reading.notes.add('unsupported', line, name, NO_DEVICE);
    else if (OTHERS[name] !== undefined) reading.notes.add(OTHERS[name][0], line, name, OTHERS[name][1]);
  }
}

function readDisk({ draft, notes, folder }: XmlReading, disk: XmlElement): void {
  const { line } = disk;
  const type = disk.get('type') ?? 'file';
  const device = disk.get('device') ?? 'disk';
  const source = disk.find('source');
  const driver = disk.find('driver')?.get('type') ?? 'raw';
  const vdev = disk.find('target')?.get('dev');
  const path = type === 'file' ? source?.get('file') : type === 'block' ? source?.get('dev') : undefined;
  const cdrom = device === 'cdrom';
  const format = path === undefined ? 'empty' : diskFormat(DRIVER_FORMATS[driver] ?? driver);
  draft.lines.set('disk', line);
  if (type !== 'file' && type !== 'block')
    notes.error(line, 'disk', `a disk of the type ${JSON.stringify(type)} is not supported`);
  else if (device !== 'disk' && !cdrom) notes.add('unsupported', line, 'disk', `${device}: ${NO_DEVICE}`);
  else if (vdev === undefined) notes.error(line, 'disk', 'it has no <target dev=...>');
  else if (path === undefined && !cdrom) notes.error(line, 'disk', 'it has no <source>');
  else if (format === undefined) notes.error(line, 'disk', `the format ${JSON.stringify(driver)}`);
  else {
    const readOnly = cdrom || disk.find('readonly') !== undefined;
    const discard = disk.find('driver')?.get('discard');
    const cache = disk.find('driver')?.get('cache') ?? 'default';
    if (cache !== 'default' && cacheMode(cache) === undefined)
      notes.add('unsupported', line, 'disk', `the cache mode ${JSON.stringify(cache)}: it is writeback`);
    draft.disks.push({
      ...{ vdev, format, readOnly, cdrom },
      path: path === undefined ? '' : resolve(folder, path),
      member: undefined,
      sizeBytes: undefined,
      discard: discard === undefined ? undefined : discard === 'unmap',
      cache: cacheMode(cache),
      passwordFile: undefined,
    });
    const encryption = disk.find('encryption') ?? source?.find('encryption');
    if (encryption !== undefined) notes.error(encryption.line, 'disk', encrypted(encryption, vdev, format));
  }
}

/** libvirt's driver type `raw` is QEMU's `luks` there. Its secrets are not in its XML. */
function encrypted(encryption: XmlElement, vdev: string, format: DiskFormat): string {
  if (format === 'raw') return `${vdev} is encrypted, which is supported for qcow2, and not for raw`;
  const secret = encryption.find('secret');
  const name = secret?.get('uuid') ?? secret?.get('usage');
  return `the password of ${vdev} is ${name === undefined ? 'a secret' : `the secret ${JSON.stringify(name)}`} of libvirt's: name a file with it by password-file= in disk=`;
}

function readInterface({ draft, notes }: XmlReading, element: XmlElement): void {
  const { line } = element;
  const type = element.get('type') ?? '';
  const source = element.find('source');
  const mac = element.find('mac')?.get('address');
  const address = mac === undefined ? undefined : parseMac(mac);
  const mtu = Number(element.find('mtu')?.get('size'));
  draft.lines.set('vif', line);
  if (!['bridge', 'network', 'ethernet'].includes(type)) {
    const instead = ': make a macvtap, and name it by macvtap= in vif=';
    const text = `the type ${JSON.stringify(type)}: ${NO_DEVICE}${type === 'direct' ? instead : ''}`;
    notes.add('unsupported', line, 'interface', text);
    return;
  }
  if (mac !== undefined && address === undefined)
    notes.error(line, 'interface', `${JSON.stringify(mac)} is no MAC address`);
  draft.nics.push(
    nic({
      mac: address,
      bridge: type === 'bridge' ? source?.get('bridge') : undefined,
      network: type === 'network' ? source?.get('network') : undefined,
      script: element.find('script')?.get('path'),
      ip: element.find('ip')?.get('address'),
      vifname: element.find('target')?.get('dev'),
      model: element.find('model')?.get('type'),
      mtu: Number.isInteger(mtu) && mtu > 0 ? mtu : undefined,
      rate: rateOf(element.find('bandwidth', 'outbound')?.get('average')),
    }),
  );
}

/** libvirt's average is in KiB a second. */
function rateOf(average: string | undefined): NicDefinition['rate'] {
  if (average === undefined || !/^\d{1,9}$/.test(average) || Number(average) === 0) return undefined;
  const intervalUs = 50_000;
  return { bytes: Math.floor((Number(average) * 1024 * intervalUs) / 1e6), intervalUs };
}
