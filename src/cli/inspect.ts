/** `xenner inspect IMAGE`: what a kernel file is, and whether it can boot as a PV guest; what is on a disk, and what it boots. */
import { Command } from 'commander';
import { loadAddon } from '../kvm/addon.js';
import { featureNames } from '../xenner/builder/features.js';
import { inspectKernel, type KernelReport, looksLikeKernel } from '../xenner/builder/inspect-kernel.js';
import { hex } from '../xenner/builder/xen-params.js';
import { diskText, inspectDisk } from './inspect-disk.js';
import { printable } from './printable.js';

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('show what is in a kernel or a disk image: whether and what it can boot as a PV guest')
    .argument('<image>', 'a vmlinuz or vmlinux file, or a disk of any format that guests can have')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExit status 0 says that the image was inspected, PV-capable or not; 1 that it could not be.',
    )
    .action(async (path: string, options: { json?: true }) => {
      const disk = looksLikeKernel(path) ? undefined : await inspectDisk(path);
      if (disk !== undefined) {
        process.stdout.write(options.json ? `${JSON.stringify(disk, null, 2)}\n` : diskText(disk));
        return;
      }
      const report = inspectKernel(path, loadAddon().decompress);
      process.stdout.write(options.json ? `${JSON.stringify(toJson(report), null, 2)}\n` : toText(report));
    });
}

function toJson(report: KernelReport): object {
  const { pv, params, features } = report;
  const capable = typeof pv !== 'string';
  return {
    loader: report.loader,
    compression: report.compression,
    fileBytes: report.fileBytes,
    elfBytes: report.elfBytes,
    bits: report.bits,
    pvCapable: capable,
    ...(capable
      ? {
          virtBase: hex(pv.virtBase),
          entry: hex(pv.entry),
          start: hex(pv.start),
          end: hex(pv.end),
          hypercallPage: pv.hypercallPage === undefined ? null : hex(pv.hypercallPage),
          initP2m: pv.initP2m === undefined ? null : hex(pv.initP2m),
          unmappedInitrd: pv.unmappedInitrd,
        }
      : { whyNot: pv }),
    features: features && {
      required: [...featureNames(features.required), ...features.unknown],
      supported: featureNames(features.supported),
    },
    xen: params && { origin: params.origin, said: params.said },
  };
}

function toText(report: KernelReport): string {
  const { pv, params, features } = report;
  const compression = report.compression.join(', ') || 'none';
  const rows: Array<[string, string]> = [
    ['format', `${report.loader}, ${report.bits}-bit`],
    [
      'compression',
      `${compression} (${mib(report.fileBytes)} in the file, ${mib(report.elfBytes)} expanded)`,
    ],
    ['PV-capable', typeof pv === 'string' ? `no: ${pv}` : 'yes'],
  ];
  if (typeof pv !== 'string') {
    rows.push(['virtual base', hex(pv.virtBase)], ['entry', hex(pv.entry)]);
    rows.push(['kernel', `${hex(pv.start)} to ${hex(pv.end)}`]);
    rows.push([
      'hypercall page',
      pv.hypercallPage === undefined ? 'none, it issues syscall itself' : hex(pv.hypercallPage),
    ]);
    rows.push(['p2m list', pv.initP2m === undefined ? 'in the initial mapping' : `at ${hex(pv.initP2m)}`]);
    rows.push(['initrd', pv.unmappedInitrd ? 'not mapped at the start' : 'mapped at the start']);
  }
  if (features !== undefined) {
    rows.push([
      'requires',
      [...featureNames(features.required), ...features.unknown].join(', ') || 'nothing',
    ]);
    rows.push(['supports', featureNames(features.supported).join(', ') || 'nothing']);
  }
  for (const { name, value } of params?.said ?? []) {
    rows.push([params!.origin === 'notes' ? `note ${name}` : `__xen_guest ${name}`, value]);
  }
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${printable(name).padEnd(width)}  ${printable(value)}\n`).join('');
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
