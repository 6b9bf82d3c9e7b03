/** What `xenner inspect` says of a disk image: its volumes, and what its boot loader would boot. */
import { type DiskReport, describeDisk, type VolumeReport } from '../mgmt/guestfs/describe-disk.js';
import { openGuestDisk } from '../mgmt/guestfs/guest-disk.js';
import { openImage } from '../mgmt/storage/open-image.js';
import { printable } from './printable.js';

/** Undefined: nothing that we know of disks is in it. */
export async function inspectDisk(path: string): Promise<DiskReport | undefined> {
  const image = await openImage(path, { readOnly: true });
  try {
    const report = await describeDisk(await openGuestDisk(image));
    const isKnown =
      report.partitionTable !== 'none' || report.volumes.some(({ holds, notes }) => holds ?? notes[0]);
    return isKnown ? report : undefined;
  } finally {
    await image.close();
  }
}

export function diskText(report: DiskReport): string {
  const lines = [`disk of ${size(report.sizeBytes)}, partition table: ${report.partitionTable}`, ''];
  const rows = report.volumes.map(volumeRow);
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const [index, row] of rows.entries()) {
    lines.push(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
    for (const note of report.volumes[index]!.notes) lines.push(`    ${note}`);
  }
  if (report.boot) {
    const { config, loader, timeoutS } = report.boot;
    const waits = timeoutS === undefined ? 'waits for a key' : `waits ${timeoutS} s`;
    lines.push('', `boot loader: ${loader}, ${config}, ${waits}`);
    for (const entry of report.boot.entries) {
      lines.push(
        `${entry.isDefault ? '*' : ' '} ${entry.index}  ${[...entry.menus, entry.title].join(' > ')}`,
      );
      if (entry.kernel === undefined) lines.push('     no kernel');
      else lines.push(`     kernel  ${entry.kernel} ${entry.args}`.trimEnd());
      for (const ramdisk of entry.ramdisks) lines.push(`     ramdisk ${ramdisk}`);
    }
  }
  if (report.notes.length > 0) lines.push('', ...report.notes);
  return lines.map((line) => `${printable(line)}\n`).join('');
}

function volumeRow(volume: VolumeReport): string[] {
  const { name, offset, sizeBytes, holds, label, uuid, active, partitionType } = volume;
  const about = [
    partitionType === undefined ? '' : `type ${partitionType}`,
    active ? 'active' : '',
    label === '' ? '' : `label ${label}`,
    uuid === '' ? '' : `uuid ${uuid}`,
  ];
  const at = offset === undefined ? '' : `at ${offset}`;
  return [name, size(sizeBytes), at, holds ?? '-', about.filter((text) => text !== '').join(', ')];
}

function size(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
