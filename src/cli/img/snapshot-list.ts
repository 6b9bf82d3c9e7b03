/** A list of internal snapshots, as qemu-img prints it (bdrv_snapshot_dump() in block/qapi.c). */
import type { SnapshotInfo } from '../../mgmt/storage/tools/info.js';
import { printableText } from '../printable.js';
import { clockText, dateText, sizeText } from './text.js';

function line(id: string, name: string, size: string, date: string, clock: string, icount: string): string {
  const left = `${id.padEnd(10)}${name.padEnd(16)}${size.padStart(9)}${date.padStart(20)}`;
  return `${left}${clock.padStart(13)}${icount.padStart(11)}\n`;
}

export function snapshotList(snapshots: readonly SnapshotInfo[]): string {
  const rows = snapshots.map((each) =>
    line(
      printableText(each.id),
      printableText(each.name),
      sizeText(each['vm-state-size']),
      dateText(each['date-sec']),
      clockText(each['vm-clock-sec'], each['vm-clock-nsec']),
      each.icount === undefined ? '' : String(each.icount),
    ),
  );
  return `Snapshot list:\n${line('ID', 'TAG', 'VM SIZE', 'DATE', 'VM CLOCK', 'ICOUNT')}${rows.join('')}`;
}
