/** `xenner config FILE`: what a domain's configuration says, and what of it cannot be had. */
import { Command } from 'commander';
import { toLibxl } from '../mgmt/domain/config/json.js';
import { type ConfigFormat, readConfigFile } from '../mgmt/domain/config/read.js';
import {
  type Boot,
  bootable,
  type DiskDefinition,
  type DomainDefinition,
  type NicDefinition,
} from '../mgmt/domain/definition.js';
import { EXIT } from './exit-codes.js';
import { noteText, printableText } from './printable.js';

const FORMATS: Readonly<Record<ConfigFormat, string>> = {
  xl: 'xl or xm',
  libvirt: "libvirt's domain XML",
  ova: "XenServer's ova.xml",
  'libxl-json': "libxl's JSON",
};

export function configCommand(): Command {
  return new Command('config')
    .description(
      "show what a domain's configuration says: a file of xl or xm, libvirt's XML, an .xva or its ova.xml",
    )
    .argument('<file>', 'the configuration; relative paths in it are of the working directory, as for xl')
    .argument(
      '[overrides...]',
      'options of xl to put in place of what the file says: memory=512 extra="ro quiet"',
    )
    .option('--json', "print JSON, in libxl's form")
    .addHelpText(
      'after',
      '\nExit status 0 says that such a guest could be booted, if its files are there; 1 that it could not.',
    )
    .action((path: string, overrides: string[], options: { json?: true }) => {
      const { format, definition } = readConfigFile(path, { overrides });
      const able = bootable(definition);
      const json = () => ({ format, bootable: able, config: toLibxl(definition), notes: definition.notes });
      process.stdout.write(
        options.json ? `${JSON.stringify(json(), null, 2)}\n` : toText(path, format, definition),
      );
      process.exitCode = able ? EXIT.ok : EXIT.failure;
    });
}

function toText(path: string, format: ConfigFormat, definition: DomainDefinition): string {
  const { memoryMiB, maxMemoryMiB, vcpus, maxVcpus, cpuWeight, cpuCap, lifecycle } = definition;
  const upTo = (now: number, max: number) => (max > now ? `${now}, up to ${max}` : `${now}`);
  const rows: [string, string | undefined][] = [
    ['name', definition.name || '(none)'],
    ['uuid', definition.uuid],
    ['format', FORMATS[format]],
    ['memory', `${upTo(memoryMiB, maxMemoryMiB)} MiB`],
    ['vcpus', upTo(vcpus, maxVcpus)],
    ['cpu weight', cpuWeight?.toString()],
    ['cpu cap', cpuCap === undefined ? undefined : `${cpuCap} %`],
    ...bootRows(definition.boot),
    ...definition.disks.map((disk): [string, string] => [`disk ${disk.vdev}`, diskText(disk)]),
    ...definition.nics.map((nic, i): [string, string] => [`vif ${nic.devid ?? i}`, nicText(nic)]),
    [
      'ends',
      Object.entries(lifecycle)
        .map(([event, action]) => `${event}=${action}`)
        .join(' '),
    ],
  ];
  const said = rows.filter((row): row is [string, string] => row[1] !== undefined);
  const width = Math.max(...said.map(([label]) => label.length));
  const text = said.map(([label, value]) => `${printableText(`${label.padEnd(width)}  ${value}`)}\n`);
  return [...text, ...definition.notes.map((note) => `${noteText(path, note)}\n`)].join('');
}

function bootRows(boot: Boot | undefined): [string, string | undefined][] {
  if (boot === undefined) return [];
  const by = {
    kernel: undefined,
    pygrub: `pygrub ${boot.by === 'pygrub' ? boot.args.join(' ') : ''}`.trim(),
    pvgrub: 'pv-grub',
  };
  return [
    ['boot loader', by[boot.by]],
    ['kernel', boot.kernel],
    ['ramdisk', boot.ramdisk],
    ['command line', boot.cmdline || undefined],
  ];
}

function diskText({ path, format, member, readOnly, cdrom, discard }: DiskDefinition): string {
  const words = [path || 'empty', member, format === 'empty' ? undefined : format, cdrom ? 'CD' : undefined];
  const more = [readOnly ? 'read-only' : undefined, discard === false ? 'no discard' : undefined];
  return [...words, ...more].filter((word) => word !== undefined).join(', ');
}

function nicText({ rate, devid: _, ...nic }: NicDefinition): string {
  const limit = rate === undefined ? [] : [`rate=${rate.bytes} bytes in ${rate.intervalUs} us`];
  const said = Object.entries(nic).filter(([, value]) => value !== undefined);
  return [...said.map(([key, value]) => `${key}=${value}`), ...limit].join(' ') || 'nothing said of it';
}
