/** What LVM's tools report, as JSON (lvmreport(7)). */
import { XennerError } from '../../../base/errors.js';
import { deviceAt } from './block-volume.js';
import type { VolumeDefinition } from './definition.js';
import { PoolError } from './errors.js';
import { run } from './program.js';

export interface LogicalVolume {
  readonly name: string;
  readonly uuid: string;
  /** What it takes; of a snapshot, what it has for differences. */
  readonly size: number;
  readonly isActive: boolean;
  readonly isThinPool: boolean;
  /** Of a snapshot, unless that is LVM's own and nobody's volume. */
  readonly origin: string | undefined;
  /** Of those who are about to make it (lvm-staging.ts). */
  readonly marks: readonly string[];
  readonly extents: NonNullable<VolumeDefinition['extents']>;
}

export const MARK = 'xenner-new:';

type Row = Readonly<Record<string, string>>;

async function report(
  program: 'lvs' | 'pvs' | 'vgs',
  fields: readonly string[],
  ...which: readonly string[]
): Promise<Row[]> {
  const shape = ['--reportformat', 'json', '--units', 'b', '--nosuffix', '--options', fields.join()];
  const text = await run(program, [...shape, ...which]);
  try {
    const { report: reports } = JSON.parse(text) as { report: Readonly<Record<string, Row[]>>[] };
    return reports.flatMap((each) => Object.values(each).flat());
  } catch {
    throw new PoolError('VIR_ERR_INTERNAL_ERROR', `${program} reports what is no JSON`);
  }
}

export async function logicalVolumes(group: string): Promise<LogicalVolume[]> {
  const fields = ['lv_name', 'origin', 'lv_uuid', 'lv_size', 'lv_attr', 'lv_tags'];
  const rows = await report('lvs', [...fields, 'devices', 'seg_size', 'vg_extent_size'], group);
  const volumes = new Map<string, LogicalVolume>();
  for (const row of rows) {
    const name = row.lv_name!;
    const known = volumes.get(name) ?? volumeOf(row);
    volumes.set(name, { ...known, extents: [...known.extents, ...extentsOf(row)] });
  }
  return [...volumes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** lv_attr: lvs(8). */
function volumeOf({
  lv_name,
  lv_uuid,
  lv_size,
  lv_attr = '',
  lv_tags = '',
  origin = '',
}: Row): LogicalVolume {
  return {
    name: lv_name!,
    uuid: lv_uuid!,
    size: Number(lv_size),
    isActive: lv_attr[4] === 'a',
    isThinPool: lv_attr[0] === 't',
    origin: origin === '' || origin.startsWith('[') ? undefined : origin,
    marks: lv_tags.split(',').filter((tag) => tag.startsWith(MARK)),
    extents: [],
  };
}

/** A segment lies on one device, or in stripes on several. */
function extentsOf({ devices = '', seg_size, vg_extent_size }: Row) {
  return [...devices.matchAll(/([^,]+)\((\d+)\)/g)].map(([, path, extent]) => {
    const start = Number(extent) * Number(vg_extent_size);
    return { path: path!, start, end: start + Number(seg_size) };
  });
}

/** Undefined: there is none of this name. */
export async function volumeGroup(name: string): Promise<{ size: number; free: number } | undefined> {
  const groups = await report('vgs', ['vg_name', 'vg_size', 'vg_free']);
  const group = groups.find(({ vg_name }) => vg_name === name);
  return group && { size: Number(group.vg_size), free: Number(group.vg_free) };
}

/** Those of no group have an empty one. */
export async function physicalVolumes(): Promise<{ path: string; group: string }[]> {
  const rows = await report('pvs', ['pv_name', 'vg_name']);
  return rows.map(({ pv_name, vg_name }) => ({ path: pv_name!, group: vg_name! }));
}

/** The same for all names of one device; undefined where there is none. */
export function backingDevice(path: string): bigint | undefined {
  try {
    return deviceAt(path)?.rdev;
  } catch (error) {
    if (error instanceof XennerError) return undefined;
    throw error;
  }
}
