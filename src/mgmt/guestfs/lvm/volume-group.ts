/** Logical volumes of LVM2 that are linear or striped, over the physical volumes that are on this disk. */
import { MAX_LOGICAL_VOLUMES, MAX_LVM_SEGMENTS } from '../../../base/limits.js';
import { type ByteSource, MappedBytes, type Piece } from '../byte-source.js';
import { damaged, overLimit } from '../errors.js';
import type { LvmSection, LvmValue } from './metadata-text.js';
import type { PhysicalVolume } from './physical-volume.js';

const SECTOR_BYTES = 512;

export interface LogicalVolume {
  /** As GRUB has it: `lvm/GROUP-VOLUME`, with hyphens within a name twice. */
  readonly name: string;
  /** Why it cannot be read, in place of its bytes. */
  readonly source: ByteSource | string;
}

/** Where one stripe begins: bytes of a physical volume. */
interface Stripe {
  readonly source: ByteSource;
  readonly start: number;
}

interface Segment {
  /** Bytes of the logical volume. */
  readonly start: number;
  readonly length: number;
  readonly stripes: readonly Stripe[];
  /** Bytes on one stripe before it is the next one's turn. */
  readonly stripeBytes: number;
}

/** All logical volumes of all groups, each group by the newest metadata that there is. */
export function logicalVolumes(physical: readonly PhysicalVolume[]): LogicalVolume[] {
  const newest = new Map<string, { name: string; group: LvmSection; sequence: number }>();
  for (const { metadata } of physical) {
    const [entry] = metadata?.sections ?? [];
    if (entry === undefined) continue;
    const [name, group] = entry;
    const id = String(group.values.get('id') ?? name);
    const sequence = Number(group.values.get('seqno') ?? 0);
    if (sequence >= (newest.get(id)?.sequence ?? 0)) newest.set(id, { name, group, sequence });
  }
  return [...newest.values()].flatMap(({ name, group }) => volumesOf(name, group, physical));
}

function volumesOf(
  groupName: string,
  group: LvmSection,
  physical: readonly PhysicalVolume[],
): LogicalVolume[] {
  const extentBytes = positive(group.values.get('extent_size')) * SECTOR_BYTES;
  const places = physicalPlaces(group, physical);
  const found: LogicalVolume[] = [];
  for (const [name, volume] of group.sections.get('logical_volumes')?.sections ?? []) {
    const status = volume.values.get('status');
    if (Array.isArray(status) && !status.includes('VISIBLE')) continue;
    if (found.length === MAX_LOGICAL_VOLUMES) throw overLimit('an LVM2 volume group has too many volumes');
    const fullName = `lvm/${groupName.replaceAll('-', '--')}-${name.replaceAll('-', '--')}`;
    found.push({ name: fullName, source: mapVolume(volume, extentBytes, places) });
  }
  return found;
}

/** Where the extents of each physical volume begin, by its name in the metadata; those that are elsewhere are missing. */
function physicalPlaces(group: LvmSection, physical: readonly PhysicalVolume[]): Map<string, Stripe> {
  const places = new Map<string, Stripe>();
  for (const [name, { values }] of group.sections.get('physical_volumes')?.sections ?? []) {
    const uuid = String(values.get('id')).replaceAll('-', '');
    const source = physical.find((volume) => volume.uuid === uuid)?.source;
    if (source !== undefined)
      places.set(name, { source, start: positive(values.get('pe_start')) * SECTOR_BYTES });
  }
  return places;
}

function mapVolume(
  volume: LvmSection,
  extentBytes: number,
  places: ReadonlyMap<string, Stripe>,
): ByteSource | string {
  const segments: Segment[] = [];
  for (const { values } of volume.sections.values()) {
    const type = values.get('type');
    if (type !== 'striped')
      return `it is of the kind ${JSON.stringify(type ?? 'unknown')}, which is not read`;
    const segment = mapSegment(values, extentBytes, places);
    if (typeof segment === 'string') return segment;
    if (segments.push(segment) > MAX_LVM_SEGMENTS) throw overLimit('an LVM2 volume has too many segments');
  }
  segments.sort((a, b) => a.start - b.start);
  const last = segments.at(-1);
  return new MappedBytes(last === undefined ? 0 : last.start + last.length, (offset) =>
    locate(segments, offset),
  );
}

function mapSegment(
  values: ReadonlyMap<string, LvmValue>,
  extentBytes: number,
  places: ReadonlyMap<string, Stripe>,
): Segment | string {
  const list = values.get('stripes');
  const count = positive(values.get('stripe_count'));
  if (!Array.isArray(list) || list.length !== count * 2)
    throw damaged("LVM2's metadata has a segment without stripes");
  const stripes: Stripe[] = [];
  for (let i = 0; i < list.length; i += 2) {
    const place = places.get(String(list[i]));
    if (place === undefined) return 'part of it is on another disk';
    stripes.push({ source: place.source, start: place.start + whole(list[i + 1]) * extentBytes });
  }
  const length = positive(values.get('extent_count')) * extentBytes;
  return {
    start: whole(values.get('start_extent')) * extentBytes,
    length,
    stripes,
    stripeBytes: count === 1 ? length : positive(values.get('stripe_size')) * SECTOR_BYTES,
  };
}

function locate(segments: readonly Segment[], offset: number): Piece {
  let low = 0;
  let high = segments.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (segments[middle]!.start <= offset) low = middle + 1;
    else high = middle;
  }
  const segment = segments[low - 1];
  if (segment === undefined || offset >= segment.start + segment.length)
    throw damaged('an LVM2 volume has a gap between its segments');
  const within = offset - segment.start;
  const turn = Math.floor(within / segment.stripeBytes);
  const stripe = segment.stripes[turn % segment.stripes.length]!;
  const inStripe = within - turn * segment.stripeBytes;
  return {
    source: stripe.source,
    offset: stripe.start + Math.floor(turn / segment.stripes.length) * segment.stripeBytes + inStripe,
    length: Math.min(segment.stripeBytes - inStripe, segment.length - within),
  };
}

function whole(value: LvmValue | undefined): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw damaged("LVM2's metadata lacks a number");
  return value as number;
}

function positive(value: LvmValue | undefined): number {
  if (whole(value) === 0) throw damaged("LVM2's metadata has a 0 that makes no sense");
  return value as number;
}
