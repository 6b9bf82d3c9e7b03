/** `xenner inspect FILE`: what a kernel is and whether it can boot as a PV guest, what is on a disk and boots, or what was saved. */
import { Command } from 'commander';
import { loadAddon } from '../kvm/addon.js';
import { featureNames } from '../xenner/builder/features.js';
import { inspectKernel, type KernelReport, looksLikeKernel } from '../xenner/builder/inspect-kernel.js';
import { hex } from '../xenner/builder/xen-params.js';
import { inspectSave, isSaveFile } from '../xenner/save/inspect.js';
import { diskText, inspectDisk } from './inspect-disk.js';
import { saveText } from './inspect-save.js';
import { mib, table } from './table.js';

export function inspectCommand(): Command {
  return new Command('inspect')
    .description(
      'show what is in a kernel or a disk image: whether and what it can boot as a PV guest; or in a save file',
    )
    .argument(
      '<file>',
      'a vmlinuz or vmlinux file, a disk of any format that guests can have, or what --save-on-exit wrote',
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExit status 0 says that the file was inspected, PV-capable or not; 1 that it could not be.',
    )
    .action(async (path: string, options: { json?: true }) => {
      const [json, text] = await inspect(path);
      process.stdout.write(options.json ? `${JSON.stringify(json, null, 2)}\n` : text);
    });
}

async function inspect(path: string): Promise<[json: object, text: string]> {
  if (isSaveFile(path)) {
    const save = inspectSave(path);
    return [save, saveText(save)];
  }
  const disk = looksLikeKernel(path) ? undefined : await inspectDisk(path);
  if (disk !== undefined) return [disk, diskText(disk)];
  const report = inspectKernel(path, loadAddon().decompress);
  return [toJson(report), toText(report)];
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
  return table(rows);
}
