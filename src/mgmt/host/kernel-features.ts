/** Which of the kernel's features that guests and their management use there are; found out without loading anything. */
import { release } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { FileIo } from '../../kvm/index.js';
import { type HostFiles, THIS_HOST } from './host-files.js';

export interface KernelFeature {
  readonly name: string;
  readonly available: boolean;
  /** A clause for people. */
  readonly how: string;
}

interface Sought {
  readonly name: string;
  /** Where the kernel lists it once it has it: a file, and a word at a line's end; or a file that is there then. */
  readonly listed?: readonly [file: string, word: string];
  readonly file?: string;
  /** Of Kconfig, and of modules. */
  readonly config: string;
  readonly module?: string;
}

const SOUGHT: readonly Sought[] = [
  { name: 'vfio', listed: ['proc/misc', 'vfio'], config: 'VFIO_PCI', module: 'vfio_pci' },
  { name: 'tun', listed: ['proc/misc', 'tun'], config: 'TUN', module: 'tun' },
  { name: 'macvtap', listed: ['proc/devices', 'macvtap'], config: 'MACVTAP', module: 'macvtap' },
  { name: 'bridge', file: 'sys/module/bridge', config: 'BRIDGE', module: 'bridge' },
  { name: 'bond', file: 'sys/class/net/bonding_masters', config: 'BONDING', module: 'bonding' },
  { name: 'vlan', file: 'proc/net/vlan', config: 'VLAN_8021Q', module: '8021q' },
  { name: 'vhost-net', listed: ['proc/misc', 'vhost-net'], config: 'VHOST_NET', module: 'vhost_net' },
  { name: 'userfaultfd', file: 'proc/sys/vm/unprivileged_userfaultfd', config: 'USERFAULTFD' },
  { name: 'cgroup2', listed: ['proc/filesystems', 'cgroup2'], config: 'CGROUPS' },
  { name: 'dm', listed: ['proc/misc', 'device-mapper'], config: 'BLK_DEV_DM', module: 'dm_mod' },
  { name: 'nbd', listed: ['proc/devices', 'nbd'], config: 'BLK_DEV_NBD', module: 'nbd' },
  { name: 'fuse', listed: ['proc/filesystems', 'fuse'], config: 'FUSE_FS', module: 'fuse' },
];
/** Unpacked: 300 KB on distributions' kernels. */
const MAX_CONFIG_BYTES = 4 * 2 ** 20;

/** What a kernel says that it was built with, and what is beside it. */
interface KernelBuild {
  readonly config?: { readonly path: string; readonly text: string };
  readonly builtin: string;
  readonly modules: string;
}

function kernelBuild(host: HostFiles): KernelBuild {
  const modules = `lib/modules/${release()}`;
  return {
    ...kernelConfig(host),
    builtin: host.long(`${modules}/modules.builtin`) ?? '',
    modules: host.long(`${modules}/modules.dep`) ?? '',
  };
}

function kernelConfig(host: HostFiles): Pick<KernelBuild, 'config'> {
  const packed = host.long('proc/config.gz');
  try {
    const options = { maxOutputLength: MAX_CONFIG_BYTES };
    const text = gunzipSync(Buffer.from(packed ?? '', 'latin1'), options).toString('latin1');
    return { config: { path: '/proc/config.gz', text } };
  } catch {
    // There is none, or it is none.
  }
  const path = `boot/config-${release()}`;
  const text = host.long(path);
  return text === undefined ? {} : { config: { path: `/${path}`, text } };
}

function seek(
  { name, listed, file, config, module }: Sought,
  build: KernelBuild,
  host: HostFiles,
): KernelFeature {
  const found = (available: boolean, how: string) => ({ name, available, how });
  if (listed !== undefined) {
    const [path, word] = listed;
    if (new RegExp(`(^|\\s)${word}$`, 'm').test(host.long(path) ?? ''))
      return found(true, `/${path} lists it`);
  }
  if (file !== undefined && host.exists(file)) return found(true, `there is /${file}`);
  const choice = build.config?.text.match(new RegExp(`^CONFIG_${config}=([ym])$`, 'm'))?.[1];
  if (choice === 'y') return found(true, `built in, says ${build.config?.path}`);
  if (module !== undefined) {
    // modules.dep has blanks for what a module needs; a file's name may have either of - and _.
    const pattern = new RegExp(`/${module.replaceAll('_', '[-_]')}\\.ko(\\.\\w+)?(:|$)`, 'm');
    if (pattern.test(build.builtin)) return found(true, 'built in, says modules.builtin');
    if (pattern.test(build.modules)) return found(true, `the module ${module}, not loaded`);
  }
  if (choice === 'm') return found(false, `the module ${module ?? name} is not installed`);
  const where = build.config === undefined ? '' : `, nor has ${build.config.path} CONFIG_${config}`;
  return found(false, `no sign of it in /proc and /sys${where}`);
}

/** The most honest look: to open one. */
async function ioUring(): Promise<KernelFeature> {
  try {
    await new FileIo({ engine: 'io_uring' }).close();
    return { name: 'io_uring', available: true, how: 'one was opened' };
  } catch (error) {
    return { name: 'io_uring', available: false, how: (error as Error).message };
  }
}

/** A kernel that has its part of KVM loaded says whether guests of its guests may use it too. */
function nestedKvm(host: HostFiles): KernelFeature {
  for (const vendor of ['kvm_amd', 'kvm_intel']) {
    const path = `sys/module/${vendor}/parameters/nested`;
    const value = host.text(path);
    if (value !== undefined)
      return { name: 'nested KVM', available: /^[Y1]/.test(value), how: `/${path} is ${value.slice(0, 9)}` };
  }
  return { name: 'nested KVM', available: false, how: 'neither kvm_amd nor kvm_intel is loaded' };
}

/** All but KVM itself, which the addon tries out. */
export async function kernelFeatures(host: HostFiles = THIS_HOST): Promise<KernelFeature[]> {
  const build = kernelBuild(host);
  const sought = SOUGHT.map((each) => seek(each, build, host));
  return [nestedKvm(host), ...sought, await ioUring()];
}
