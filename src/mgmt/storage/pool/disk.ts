/** Pools of the type disk: a whole disk, whose partitions are volumes. parted(8) changes its table, and tells the kernel. */
import { realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { BuildOptions, PoolBackend } from './backend.js';
import {
  blankDevice,
  blockVolume,
  checkUnused,
  deviceAt,
  needsDevice,
  stableNames,
  takePermissions,
} from './block-volume.js';
import type { NewVolume, PoolDefinition, VolumeDefinition } from './definition.js';
import { PoolError, quoted } from './errors.js';
import { sizeOf } from './file-volume.js';
import {
  type DiskPartition,
  type DiskTable,
  partitionNode,
  readDiskTable,
  type Stretch,
} from './partitions.js';
import { run, settleDevices } from './program.js';
import { checkBlank } from './signatures.js';

/** Where partitions begin, on all disks of this century. */
const ALIGN_BYTES = 1024 * 1024;
/** By libvirt's formats of volumes, parted's types of file systems, of which it only takes a number for the table of an MBR. */
const PARTED_TYPES: Readonly<Record<string, string>> = {
  raw: 'ext2',
  none: 'ext2',
  linux: 'ext2',
  fat16: 'fat16',
  fat32: 'fat32',
  'linux-swap': 'linux-swap',
};
/** Of an MBR: what a volume is shown as. */
const FORMATS: Readonly<Record<string, string>> = { '82': 'linux-swap', '8e': 'linux-lvm', fd: 'linux-raid' };
const NODE_MS = 5000;

export const diskBackend: PoolBackend = {
  volumesAre: 'devices',
  rootFor: 'writing to disks takes CAP_SYS_ADMIN',
  build,
  start: async (pool) => {
    await settleDevices();
    await tableOf(pool);
    return pool;
  },
  sizes: async (pool) => {
    const { partitions, free } = await tableOf(pool);
    const volumes = partitions.filter(({ kind }) => kind !== 'extended');
    const bytes = (all: readonly Stretch[]) => all.reduce((sum, { start, end }) => sum + end - start, 0);
    const freeExtents = free.map(({ start, end }) => ({ start, end }));
    return {
      capacity: Math.max(0, ...[...partitions, ...free].map(({ end }) => end)),
      allocation: bytes(volumes),
      available: bytes(freeExtents),
      freeExtents,
    };
  },
  volumes: async (pool, report) => {
    const table = await tableOf(pool);
    const names = stableNames(pool.target.path);
    return table.partitions
      .map((partition) => {
        const volume = volumeOf(pool, table, partition, names);
        if (volume === undefined) report(`${partition.node}: the kernel does not know this partition`);
        return volume;
      })
      .filter((volume) => volume !== undefined)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  },
  volume: async (pool, name) => {
    const table = await tableOf(pool);
    const partition = table.partitions.find(({ node }) => basename(node) === name);
    return partition && volumeOf(pool, table, partition, stableNames(pool.target.path));
  },
  createVolume: async (pool, volume) => {
    await create(pool, volume, async () => {});
  },
  createVolumeFrom: async (pool, volume, fill) => {
    await create(pool, { ...volume, format: 'none' }, async (node) => {
      await blankDevice(node);
      await fill(node);
    });
  },
  deleteVolume: async (pool, { name }) => {
    const table = await tableOf(pool);
    const partition = table.partitions.find(({ node }) => basename(node) === name);
    if (partition !== undefined) await remove(pool, table, partition);
  },
};

/** By its own name, which partitions are named after. @throws PoolError VIR_ERR_INVALID_ARG */
function diskOf({ source }: PoolDefinition): string {
  return realpathSync(needsDevice(source.devices[0]));
}

async function tableOf(pool: PoolDefinition): Promise<DiskTable> {
  const device = diskOf(pool);
  const table = await readDiskTable(device, sizeOf(deviceAt(device)!));
  const { format } = pool.source;
  if (format === 'unknown' || format === table.label || !['dos', 'gpt'].includes(format!)) return table;
  throw new PoolError(
    'VIR_ERR_OPERATION_INVALID',
    `the partition table of ${quoted(device)} is of the format ${quoted(table.label)}, not ${format}`,
  );
}

async function build(pool: PoolDefinition, { overwrite }: BuildOptions): Promise<void> {
  const device = diskOf(pool);
  const format = pool.source.format === 'unknown' ? 'dos' : pool.source.format!;
  if (!['dos', 'gpt'].includes(format))
    throw new PoolError(
      'VIR_ERR_NO_SUPPORT',
      `a partition table of the format ${quoted(format)} is not made`,
    );
  if (!overwrite) await checkBlank(device);
  await run('parted', ['--script', '--', device, 'mklabel', format === 'dos' ? 'msdos' : 'gpt']);
  await settleDevices();
}

function volumeOf(
  { source }: PoolDefinition,
  { label, partitions }: DiskTable,
  { node, kind, type, start, end }: DiskPartition,
  names: ReadonlyMap<string, string>,
): VolumeDefinition | undefined {
  const isExtended = kind === 'extended';
  const inside = partitions.filter((each) => each.kind === 'logical');
  return blockVolume({
    name: basename(node),
    path: names.get(node) ?? node,
    extents: [{ path: source.devices[0]!, start, end }],
    formatName: isExtended ? 'extended' : ((label === 'dos' ? FORMATS[type] : undefined) ?? 'none'),
    // The device of an extended partition is only its first sectors.
    ...(isExtended && {
      capacity: end - start,
      allocation: inside.reduce((sum, each) => sum + each.end - each.start, 0),
    }),
  });
}

/** The volume has the name that the kernel gives to the next partition, and no other (virStorageBackendDiskMakeDataVol). */
async function create(
  pool: PoolDefinition,
  volume: NewVolume,
  fill: (node: string) => Promise<void>,
): Promise<void> {
  const device = diskOf(pool);
  const table = await tableOf(pool);
  const kind = kindFor(table, volume);
  const number = nextNumber(table, kind);
  const node = partitionNode(device, number);
  if (volume.name !== basename(node))
    throw new PoolError(
      'VIR_ERR_INVALID_ARG',
      `invalid partition name ${quoted(volume.name)}, expected ${quoted(basename(node))}`,
    );
  const { start, end } = placeFor(table, kind, volume.capacity);
  const words = [
    'unit',
    'B',
    'mkpart',
    ...partedKind(table, kind, volume.format),
    `${start}B`,
    `${end - 1}B`,
  ];
  await run('parted', ['--script', '--align', 'none', '--', device, ...words]);
  try {
    await nodeAppears(node);
    await fill(node);
    if (kind !== 'extended') takePermissions(node, volume);
  } catch (error) {
    await run('parted', ['--script', '--', device, 'rm', `${number}`]);
    throw error;
  }
}

const isMbr = ({ label }: DiskTable) => label === 'dos';

/** Of an MBR, four partitions that are not inside the extended one. */
function kindFor(table: DiskTable, { format }: NewVolume): DiskPartition['kind'] {
  if (!isMbr(table)) return 'normal';
  const has = (kind: DiskPartition['kind']) => table.partitions.filter((each) => each.kind === kind).length;
  const full = has('normal') + has('extended') >= 4;
  const refuse = (what: string) => new PoolError('VIR_ERR_INTERNAL_ERROR', what);
  if (format === 'extended') {
    if (has('extended') > 0) throw refuse('extended partition already exists');
    if (full) throw refuse('no primary partition available');
    return 'extended';
  }
  if (PARTED_TYPES[format] === undefined)
    throw new PoolError('VIR_ERR_NO_SUPPORT', `a partition of the format ${quoted(format)} is not made`);
  if (!full) return 'normal';
  if (has('extended') > 0) return 'logical';
  throw refuse('no extended partition found and no primary partition available');
}

/** As parted counts. */
function nextNumber({ partitions }: DiskTable, kind: DiskPartition['kind']): number {
  const taken = partitions.map(({ number }) => number);
  let number = kind === 'logical' ? 5 : 1;
  while (taken.includes(number)) number++;
  return number;
}

/** The smallest room that is large enough. */
function placeFor({ free, sectorBytes }: DiskTable, kind: DiskPartition['kind'], capacity: number): Stretch {
  const bytes = Math.max(1, Math.ceil(capacity / sectorBytes)) * sectorBytes;
  const rooms = free
    .filter(({ isLogical }) => isLogical === (kind === 'logical'))
    // A logical partition has a table of its own before it.
    .map(({ start, end }) => ({ start: kind === 'logical' ? start + sectorBytes : start, end }))
    .map(({ start, end }) => ({ start: Math.ceil(start / ALIGN_BYTES) * ALIGN_BYTES, end }))
    .filter(({ start, end }) => end - start >= bytes)
    .sort((a, b) => a.end - a.start - (b.end - b.start));
  const [room] = rooms;
  if (room === undefined) throw new PoolError('VIR_ERR_INTERNAL_ERROR', 'no large enough free extent');
  return { start: room.start, end: room.start + bytes };
}

function partedKind(table: DiskTable, kind: DiskPartition['kind'], format: string): string[] {
  if (!isMbr(table)) return ['primary'];
  if (kind === 'extended') return ['extended'];
  return [kind === 'normal' ? 'primary' : 'logical', PARTED_TYPES[format]!];
}

async function nodeAppears(node: string): Promise<void> {
  await settleDevices();
  for (const until = Date.now() + NODE_MS; deviceAt(node) === undefined; await delay(20))
    if (Date.now() > until)
      throw new PoolError('VIR_ERR_OPERATION_FAILED', `the host makes no device ${quoted(node)}`);
}

async function remove(pool: PoolDefinition, table: DiskTable, partition: DiskPartition): Promise<void> {
  const { kind, number } = partition;
  const inside = table.partitions.filter((each) => each.kind === 'logical');
  if (kind === 'extended' && inside.length > 0)
    throw new PoolError('VIR_ERR_OPERATION_INVALID', 'the extended partition has others in it');
  const volume = volumeOf(pool, table, partition, new Map());
  if (volume !== undefined && kind !== 'extended') await checkUnused(volume);
  await run('parted', ['--script', '--', diskOf(pool), 'rm', `${number}`]);
  await settleDevices();
}
