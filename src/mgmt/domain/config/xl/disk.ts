/** xl-disk-configuration(5), and the older forms that xm took (Xen: tools/libs/util/libxlu_disk_l.l). */
import { resolve } from 'node:path';
import { CACHE_MODES, DISK_FORMATS, type DiskDefinition, type DiskFormat } from '../../definition.js';
import type { Say } from './say.js';

/** Behind these xm and xl look for no format. */
const PREFIX =
  /^(?:(raw|qcow2?|vhd|vmdk|vdi|tapdisk|tap2?|aio|ioemu|file|phy|sync|iscsi|e?nbd|drbd):|([a-z][a-z0-9]*):(?![a-z0-9]))/;
const PREFIX_FORMATS: readonly string[] = ['raw', 'qcow', 'qcow2', 'vhd', 'vmdk', 'vdi'];
const PREFIX_IGNORED: readonly string[] = ['tapdisk', 'tap', 'tap2', 'aio', 'ioemu', 'file', 'phy', 'sync'];
const FLAG =
  /^(cdrom|direct-io-safe|discard|no-discard|colo|no-colo|trusted|untrusted|grant_usage=[01]) *(?:,|$)/;
const NAMED = /^([a-z][-a-z0-9_]*)=([^,]*),?/;
const POSITIONAL = /^([^=,]*)(?:,|$)/;
/** `w!` was xm's: although others have it. */
const ACCESS = /^(?:|r|ro|w|rw|w!)$/;
/** xen-vbd-interface(7): hda, sda1, xvdaa3, d4p1, or a number. */
const VDEV = /^(?:(?:hd|sd|vd|xvd)[a-z]{1,3}\d{0,3}|d\d+p\d+|0x[\da-f]{1,8}|\d{1,10})$/;

class DiskParser {
  private target: string | undefined;
  private format: string | undefined;
  private vdev: string | undefined;
  private access: string | undefined;
  private accessPlaced = false;
  private cdrom = false;
  private discard: boolean | undefined;
  private cache: DiskDefinition['cache'];
  private passwordFile: string | undefined;
  private phy = false;
  private prefixed = false;
  private wrong = false;

  constructor(
    private readonly spec: string,
    private readonly say: Say,
  ) {}

  /** @param folder that relative paths are of; a block device's start in /dev */
  parse(folder: string): DiskDefinition | undefined {
    for (let rest = this.spec.trimStart(); rest !== '' && !this.wrong; rest = rest.trimStart()) {
      rest = this.parameter(rest);
    }
    return this.wrong ? undefined : this.result(folder);
  }

  private fail(what: string): string {
    this.say('error', `${JSON.stringify(this.spec)}: ${what}`);
    this.wrong = true;
    return '';
  }

  /** Takes one off. */
  private parameter(rest: string): string {
    if (rest.startsWith('target=')) {
      this.set('target', rest.slice('target='.length).replace(/,$/, ''));
      return '';
    }
    const flag = FLAG.exec(rest);
    if (flag !== null) {
      this.flag(flag[1]!);
      return rest.slice(flag[0].length);
    }
    const named = NAMED.exec(rest);
    if (named !== null) {
      this.named(named[1]!, named[2]!.trimEnd());
      return rest.slice(named[0].length);
    }
    const prefix = this.target === undefined ? PREFIX.exec(rest) : null;
    if (prefix !== null) return this.prefix((prefix[1] ?? prefix[2])!, rest.slice(prefix[0].length));
    const positional = POSITIONAL.exec(rest);
    if (positional === null) return this.fail('this is no disk');
    this.positional(positional[1]!.trimEnd());
    return rest.slice(positional[0].length);
  }

  private flag(name: string): void {
    if (name === 'cdrom') this.cdrom = true;
    else if (name === 'discard' || name === 'no-discard') this.discard = name === 'discard';
    else if (name === 'colo') this.fail('COLO is not supported');
  }

  /** Each may be said once; an empty one does not count. */
  private set(name: 'target' | 'format' | 'vdev' | 'access', value: string): void {
    const known = this[name];
    const again = name === 'format' ? known !== value : name !== 'access';
    if (known !== undefined && known !== '' && again) this.fail(`there are two of ${name}`);
    if (name === 'access' && !ACCESS.test(value)) this.fail(`the access ${JSON.stringify(value)}`);
    if (name === 'format' && value !== '' && diskFormat(value) === undefined)
      this.fail(`the format ${JSON.stringify(value)}`);
    this[name] = value;
  }

  private named(name: string, value: string): void {
    switch (name) {
      case 'format':
      case 'vdev':
      case 'access':
        this.set(name, value);
        return;
      case 'devtype':
        if (value === 'cdrom' || value === 'disk') this.cdrom = value === 'cdrom';
        else this.fail(`devtype=${value}`);
        return;
      case 'backendtype':
        this.phy = value === 'phy';
        return;
      case 'script':
        this.script(value);
        return;
      case 'backend':
        this.backend(value);
        return;
      case 'specification':
        if (value !== 'xen') this.fail('a PV guest has only disks of Xen');
        return;
      // These two are ours: xl has no names for them.
      case 'cache':
        this.cache = cacheMode(value);
        if (this.cache === undefined) this.fail(`cache=${value}: ${CACHE_MODES.join(', ')}`);
        return;
      case 'password-file':
        this.passwordFile = value;
        return;
      default:
        this.fail(`${name}= is unknown`);
    }
  }

  private backend(name: string): void {
    if (name !== '' && name !== '0' && name !== 'Domain-0') this.fail('there are no driver domains');
  }

  private script(name: string): void {
    this.fail(`the hot-plug script ${JSON.stringify(name)} is not run`);
  }

  private prefix(name: string, rest: string): string {
    this.prefixed = true;
    if (PREFIX_FORMATS.includes(name)) this.set('format', name);
    else if (name === 'phy') this.phy = true;
    else if (/^(iscsi|e?nbd|drbd)$/.test(name)) this.script(`block-${name}`);
    else if (!PREFIX_IGNORED.includes(name)) this.fail(`the prefix ${name}: is unknown`);
    return rest;
  }

  private positional(value: string): void {
    if (this.target === undefined) {
      this.target = value;
    } else if (!this.prefixed && this.format === undefined) {
      if (this.target === '' && value.includes(':')) {
        this.format = 'empty';
        this.device(value);
      } else {
        this.set('format', value || 'raw');
      }
    } else if (this.vdev === undefined) {
      this.device(value);
    } else if (!this.accessPlaced) {
      this.accessPlaced = true;
      this.set('access', value);
    } else if (this.prefixed && value !== '') {
      this.backend(value);
    } else {
      this.fail('there is more than a target, a format, a device and its access');
    }
  }

  /** `hdc:cdrom`; xm had `ioemu:hda` too. */
  private device(value: string): void {
    const [vdev = '', type] = value.replace(/^ioemu:/, '').split(':');
    this.set('vdev', vdev);
    if (type === 'cdrom') this.cdrom = true;
    else if (type !== undefined && type !== 'disk') this.fail(`the device type ${JSON.stringify(type)}`);
  }

  private result(folder: string): DiskDefinition | undefined {
    const { target = '', vdev = '' } = this;
    const access = this.access || 'w';
    if (!VDEV.test(vdev))
      this.fail(vdev === '' ? 'the device has no name' : `no device is called ${JSON.stringify(vdev)}`);
    else if (target === '' && !this.cdrom) this.fail('it has no target');
    const format = target === '' ? 'empty' : diskFormat(this.format || 'raw');
    if (this.wrong || format === undefined) return undefined;
    if (access === 'w!')
      this.say('ignored', 'w!: a disk that another guest writes to is refused when it is opened');
    const path = target === '' ? '' : resolve(this.phy ? '/dev' : folder, target);
    const readOnly = this.cdrom || access === 'r' || access === 'ro';
    const { cdrom, discard, cache } = this;
    const passwordFile = this.passwordFile && resolve(folder, this.passwordFile);
    const image = { path, format, member: undefined, sizeBytes: undefined, cache, passwordFile };
    return { vdev, ...image, readOnly, cdrom, discard };
  }
}

export function cacheMode(name: string): DiskDefinition['cache'] {
  return CACHE_MODES.find((each) => each === name);
}

export function diskFormat(name: string): DiskFormat | undefined {
  return DISK_FORMATS.find((each) => each === name);
}

/** @returns undefined when it makes no sense: the reason is told */
export function parseDisk(spec: string, folder: string, say: Say): DiskDefinition | undefined {
  return new DiskParser(spec, say).parse(folder);
}
