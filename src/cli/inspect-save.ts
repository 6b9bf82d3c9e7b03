/** `xenner inspect` of a save file. */
import type { SaveReport } from '../xenner/save/inspect.js';
import { mib, table } from './table.js';

export function saveText(report: SaveReport): string {
  return table([
    ['format', `a saved guest, format ${report.version}`],
    ['name', report.name],
    ['uuid', report.uuid],
    ['saved at', `${report.savedAt}, on the ${report.engine} engine`],
    ['profile', report.profile],
    ['memory', `${report.memoryMiB} MiB (${mib(report.fileBytes)} in the file, with holes)`],
    ['vCPUs', `${report.vcpus}, ${report.vcpusOnline} of them online`],
    ['kernel', report.kernel],
    ['ramdisk', report.ramdisk ?? 'none'],
    ['command line', report.cmdline],
    ['fast paths', report.fastPaths ? 'yes' : 'no'],
  ]);
}
