/** A definition as a configuration of xl's (xl.cfg(5)), which says the same when it is read. */
import type { Boot, DiskDefinition, DomainDefinition, NicDefinition } from '../../definition.js';

const MICROSECONDS = 1e6;

export function toXl(definition: DomainDefinition): string {
  const { name, uuid, memoryMiB, maxMemoryMiB, vcpus, maxVcpus, cpuWeight, cpuCap } = definition;
  const { boot, disks, nics, lifecycle } = definition;
  const lines = [
    option('name', name),
    option('uuid', uuid),
    option('memory', memoryMiB),
    option('maxmem', maxMemoryMiB === memoryMiB ? undefined : maxMemoryMiB),
    option('vcpus', vcpus),
    option('maxvcpus', maxVcpus === vcpus ? undefined : maxVcpus),
    option('cpu_weight', cpuWeight),
    option('cap', cpuCap),
    ...(boot === undefined ? [] : bootLines(boot)),
    list('disk', disks.map(diskSpec)),
    ...nics.flatMap(({ network, bridge }, i) =>
      network === undefined || bridge !== undefined
        ? []
        : [`# vif ${i} was in the network ${quoted(network)}.\n`],
    ),
    list('vif', nics.map(vifSpec)),
    ...Object.entries(lifecycle).map(([event, action]) => option(event, action)),
  ];
  return lines.join('');
}

function quoted(text: string): string {
  const escaped = text.replace(/[\\"]/g, '\\$&');
  return `"${escaped.replace(/\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`;
}

function option(key: string, value: string | number | undefined): string {
  if (value === undefined) return '';
  return `${key} = ${typeof value === 'number' ? value : quoted(value)}\n`;
}

function list(key: string, values: readonly string[]): string {
  if (values.length === 0) return '';
  return `${key} = [\n${values.map((value) => `  ${quoted(value)},\n`).join('')}]\n`;
}

function bootLines(boot: Boot): string[] {
  const files = [
    option('kernel', boot.kernel),
    option('ramdisk', boot.ramdisk),
    option('cmdline', boot.cmdline || undefined),
  ];
  if (boot.by !== 'pygrub') return files;
  return [option('bootloader', 'pygrub'), list('bootloader_args', boot.args), ...files];
}

/** The target comes last: it may have commas in it, and nothing else may. */
function diskSpec(disk: DiskDefinition): string {
  const { path, vdev, format, readOnly, cdrom, discard, cache, passwordFile } = disk;
  const words = [`vdev=${vdev}`, `access=${readOnly ? 'r' : 'w'}`];
  if (cache !== undefined) words.push(`cache=${cache}`);
  if (passwordFile !== undefined && !passwordFile.includes(',')) words.push(`password-file=${passwordFile}`);
  if (cdrom) words.push('cdrom');
  if (discard !== undefined) words.push(discard ? 'discard' : 'no-discard');
  return format === 'empty' ? words.join(',') : [`format=${format}`, ...words, `target=${path}`].join(',');
}

function vifSpec({ rate, network: _, ...nic }: NicDefinition): string {
  // A comma in a name would be the beginning of another key: such a name is none.
  const said = Object.entries(nic).filter(
    ([, value]) => value !== undefined && !/,|^\s|\s$/.test(String(value)),
  );
  const words = said.map(([key, value]) => `${key}=${value}`);
  if (rate !== undefined) {
    const perSecond = Math.ceil((rate.bytes * MICROSECONDS) / rate.intervalUs);
    words.push(`rate=${perSecond}B/s@${rate.intervalUs}us`);
  }
  return words.join(',');
}
