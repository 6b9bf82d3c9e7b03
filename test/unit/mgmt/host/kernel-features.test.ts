/** Features of kernels: by each of the ways that they are found out, and what is there when nothing is. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { kernelFeatures } from '../../../../src/mgmt/host/kernel-features.js';
import { machine, removeMachines } from './machine.js';

afterEach(removeMachines);

const MODULES = `lib/modules/${release()}`;

async function feature(name: string, files: Record<string, string | Buffer>) {
  const found = (await kernelFeatures(machine(files))).find((each) => each.name === name);
  return [found?.available, found?.how];
}

it.each<[string, Record<string, string | Buffer>, boolean, string]>([
  ['tun', { 'proc/misc': '200 tun\n229 fuse\n' }, true, '/proc/misc lists it'],
  ['tun', { 'proc/misc': '200 tunnel\n201 xtun\n' }, false, 'no sign of it in /proc and /sys'],
  ['nbd', { 'proc/devices': 'Block devices:\n 43 nbd\n' }, true, '/proc/devices lists it'],
  ['cgroup2', { 'proc/filesystems': 'nodev\tcgroup\nnodev\tcgroup2\n' }, true, '/proc/filesystems lists it'],
  ['cgroup2', { 'proc/filesystems': 'nodev\tcgroup\n' }, false, 'no sign of it in /proc and /sys'],
  ['vlan', { 'proc/net/vlan/config': '' }, true, 'there is /proc/net/vlan'],
  ['bond', { 'sys/class/net/bonding_masters': '' }, true, 'there is /sys/class/net/bonding_masters'],
  ['dm', { 'proc/config.gz': gzipSync('CONFIG_BLK_DEV_DM=y\n') }, true, 'built in, says /proc/config.gz'],
  [
    'dm',
    { 'proc/config.gz': gzipSync('# CONFIG_BLK_DEV_DM is not set\n') },
    false,
    'no sign of it in /proc and /sys, nor has /proc/config.gz CONFIG_BLK_DEV_DM',
  ],
  ['dm', { 'proc/config.gz': 'not packed' }, false, 'no sign of it in /proc and /sys'],
  ['dm', { 'proc/config.gz': gzipSync(Buffer.alloc(2 ** 25)) }, false, 'no sign of it in /proc and /sys'],
  [
    'vfio',
    { [`boot/config-${release()}`]: 'CONFIG_VFIO_PCI=m\n' },
    false,
    'the module vfio_pci is not installed',
  ],
  [
    'vfio',
    {
      [`${MODULES}/modules.dep`]:
        'kernel/a.ko: kernel/b.ko\nkernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/vfio.ko\n',
    },
    true,
    'the module vfio_pci, not loaded',
  ],
  [
    'bond',
    { [`${MODULES}/modules.dep`]: 'kernel/x.ko: kernel/bonding.kobold\n' },
    false,
    'no sign of it in /proc and /sys',
  ],
  [
    'fuse',
    { [`${MODULES}/modules.builtin`]: 'kernel/fs/fuse/fuse.ko\n' },
    true,
    'built in, says modules.builtin',
  ],
  [
    'nested KVM',
    { 'sys/module/kvm_intel/parameters/nested': 'Y\n' },
    true,
    '/sys/module/kvm_intel/parameters/nested is Y',
  ],
  [
    'nested KVM',
    { 'sys/module/kvm_amd/parameters/nested': '0\n' },
    false,
    '/sys/module/kvm_amd/parameters/nested is 0',
  ],
  ['nested KVM', {}, false, 'neither kvm_amd nor kvm_intel is loaded'],
])('%s, by %j: %s', async (name, files, available, how) => {
  expect(await feature(name, files)).toEqual([available, how]);
});

describe('this host', () => {
  it('has what its kernel lets one make', async () => {
    const features = new Map((await kernelFeatures()).map(({ name, available }) => [name, available]));
    const inNamespace = (command: string) => {
      try {
        execFileSync('unshare', ['--net', '--map-root-user', 'sh', '-c', command], { stdio: 'pipe' });
        return true;
      } catch {
        return false;
      }
    };
    if (!inNamespace('true')) return;
    for (const [name, type] of Object.entries({ bridge: 'bridge', bond: 'bond' })) {
      // A right that is missing is no sign of a feature that is.
      if (inNamespace(`ip link add x0 type ${type}`))
        expect([name, features.get(name)]).toEqual([name, true]);
    }
    expect(features.get('cgroup2')).toBe(/\tcgroup2$/m.test(readFileSync('/proc/filesystems', 'latin1')));
  });
});
