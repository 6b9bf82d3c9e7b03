/** The partition table of a device of the host, as sfdisk(8) reads it, and the room that it leaves. */
import { PoolError, quoted } from './errors.js';
import { run } from './program.js';

export type PartitionKind = 'normal' | 'extended' | 'logical';

/** In bytes from the device's start. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

export interface DiskPartition extends Stretch {
  readonly number: number;
  readonly kind: PartitionKind;
  /** The device: /dev/sda1. */
  readonly node: string;
  /** As sfdisk names it: an MBR's two digits without a zero before them, a GPT's GUID. */
  readonly type: string;
}

export interface DiskTable {
  /** sfdisk's name: gpt, dos, ... */
  readonly label: string;
  readonly sectorBytes: number;
  /** As they lie on the device. */
  readonly partitions: readonly DiskPartition[];
  readonly free: readonly (Stretch & { readonly isLogical: boolean })[];
}

/** sfdisk --json; in sectors. */
interface SfdiskTable {
  readonly label: string;
  readonly sectorsize?: number;
  readonly firstlba?: number;
  readonly lastlba?: number;
  readonly partitions?: readonly {
    readonly node: string;
    readonly start: number;
    readonly size: number;
    readonly type: string;
  }[];
}

/** DOS's, Windows 95's (LBA) and Linux' own. */
const EXTENDED = new Set(['5', 'f', '85']);
/** Logical partitions of an MBR are counted from here. */
const FIRST_LOGICAL = 5;

/** The kernel's name of a partition (disk_name() of Linux). */
export function partitionNode(device: string, number: number): string {
  return `${device}${/\d$/.test(device) ? 'p' : ''}${number}`;
}

/** @param sizeBytes the device's. @throws PoolError VIR_ERR_OPERATION_FAILED: there is none */
export async function readDiskTable(device: string, sizeBytes: number): Promise<DiskTable> {
  let table: SfdiskTable;
  try {
    table = JSON.parse(await run('sfdisk', ['--json', '--', device])).partitiontable;
  } catch (error) {
    if (error instanceof PoolError && error.code === 'VIR_ERR_NO_SUPPORT') throw error;
    throw new PoolError(
      'VIR_ERR_OPERATION_FAILED',
      `${quoted(device)} has no partition table that can be read`,
      "'pool-build' makes one",
      { cause: error },
    );
  }
  const { label, sectorsize: sectorBytes = 512, firstlba = 1, lastlba } = table;
  const partitions = (table.partitions ?? [])
    .map(({ node, start, size, type }) => ({
      node,
      type,
      number: Number(/\d+$/.exec(node)?.[0]),
      kind: 'normal' as PartitionKind,
      start: start * sectorBytes,
      end: (start + size) * sectorBytes,
    }))
    .map((each) => (label === 'dos' ? { ...each, kind: kindOf(each) } : each))
    .sort((a, b) => a.start - b.start);
  const usable = {
    start: firstlba * sectorBytes,
    end: lastlba === undefined ? sizeBytes : (lastlba + 1) * sectorBytes,
  };
  return { label, sectorBytes, partitions, free: freeOf(partitions, usable) };
}

function kindOf({ number, type }: { number: number; type: string }): PartitionKind {
  if (number >= FIRST_LOGICAL) return 'logical';
  return EXTENDED.has(type) ? 'extended' : 'normal';
}

function freeOf(partitions: readonly DiskPartition[], usable: Stretch): DiskTable['free'] {
  const outer = partitions.filter(({ kind }) => kind !== 'logical');
  const inner = partitions.filter(({ kind }) => kind === 'logical');
  const free = gaps(outer, usable).map((gap) => ({ ...gap, isLogical: false }));
  for (const extended of outer.filter(({ kind }) => kind === 'extended'))
    free.push(...gaps(inner, extended).map((gap) => ({ ...gap, isLogical: true })));
  return free.sort((a, b) => a.start - b.start);
}

function gaps(taken: readonly Stretch[], { start, end }: Stretch): Stretch[] {
  const found: Stretch[] = [];
  let at = start;
  for (const each of taken) {
    if (each.start > at) found.push({ start: at, end: Math.min(each.start, end) });
    at = Math.max(at, each.end);
  }
  return at < end ? [...found, { start: at, end }] : found;
}
