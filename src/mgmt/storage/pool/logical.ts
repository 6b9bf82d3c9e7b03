/** Pools of the type logical: a volume group of LVM's, whose logical volumes are volumes. */
import { dirname } from 'node:path';
import type { BuildOptions, PoolBackend } from './backend.js';
import { blankDevice, blockVolume, checkUnused, needsDevice, takePermissions } from './block-volume.js';
import type { NewVolume, PoolDefinition, VolumeDefinition } from './definition.js';
import { PoolError, quoted } from './errors.js';
import { backingDevice, type LogicalVolume, logicalVolumes, physicalVolumes, volumeGroup } from './lvm.js';
import { makerMark, removeLeftovers } from './lvm-staging.js';
import { run } from './program.js';
import { checkBlank } from './signatures.js';

export const logicalBackend: PoolBackend = {
  volumesAre: 'devices',
  rootFor: 'LVM takes CAP_SYS_ADMIN',
  findSources,
  build,
  start: async (pool) => {
    const group = groupOf(pool.source.name);
    await checkDevices(group, pool.source.devices);
    await run('vgchange', ['--activate', 'y', group]);
    return pool;
  },
  stop: async ({ source }) => {
    const group = groupOf(source.name);
    if ((await volumeGroup(group)) !== undefined) await run('vgchange', ['--activate', 'n', group]);
  },
  delete: async ({ source }) => {
    const group = groupOf(source.name);
    if ((await volumeGroup(group)) !== undefined) await run('vgremove', ['--force', '--yes', group]);
    for (const device of source.devices) await run('pvremove', ['--yes', '--', device]);
  },
  sizes: async ({ source }) => {
    const group = await volumeGroup(groupOf(source.name));
    if (group === undefined) throw noGroup(groupOf(source.name));
    return { capacity: group.size, allocation: group.size - group.free, available: group.free };
  },
  volumes: async (pool) => shown(pool, await logicalVolumes(groupOf(pool.source.name))),
  volume: async (pool, name) =>
    shown(pool, await logicalVolumes(groupOf(pool.source.name))).find((each) => each.name === name),
  createVolume: async (pool, volume) => {
    await create(pool, volume, []);
    await orRemove(pool, volume, async () => takePermissions(pathOf(pool, volume.name), volume));
  },
  createVolumeFrom: async (pool, volume, fill) => {
    const mark = makerMark();
    await create(pool, { ...volume, allocation: volume.capacity }, ['--addtag', mark]);
    await orRemove(pool, volume, async () => {
      const path = pathOf(pool, volume.name);
      await blankDevice(path);
      await fill(path);
      takePermissions(path, volume);
      await run('lvchange', ['--deltag', mark, fullName(pool, volume.name)]);
    });
  },
  deleteVolume: async (pool, volume) => {
    await checkUnused(volume);
    await run('lvremove', ['--force', '--yes', fullName(pool, volume.name)]);
  },
};

/** A document without one is refused. */
const groupOf = (name: string | undefined) => name!;
const pathOf = (pool: PoolDefinition, name: string) => `${pool.target.path}/${name}`;
const fullName = ({ source }: PoolDefinition, name: string) => `${groupOf(source.name)}/${name}`;

function noGroup(group: string): PoolError {
  return new PoolError(
    'VIR_ERR_CONFIG_UNSUPPORTED',
    `cannot find logical volume group name ${quoted(group)}`,
  );
}

/** A group of this name that lies elsewhere is another one (virStorageBackendLogicalMatchPoolSource). */
async function checkDevices(group: string, devices: readonly string[]): Promise<void> {
  const own = (await physicalVolumes()).filter((each) => each.group === group).map(({ path }) => path);
  if (own.length === 0) throw noGroup(group);
  if (devices.length === 0 || devices.some((path) => own.includes(path) || own.some(sameAs(path)))) return;
  throw new PoolError(
    'VIR_ERR_CONFIG_UNSUPPORTED',
    `cannot find any matching source devices for logical volume group ${quoted(group)}`,
    `it lies on ${own.join(', ')}`,
  );
}

const sameAs = (path: string) => {
  const device = backingDevice(path);
  return (other: string) => device !== undefined && backingDevice(other) === device;
};

/** vgcreate(8) makes physical volumes of the devices, and the group, by one change that is seen. */
async function build({ source }: PoolDefinition, { overwrite }: BuildOptions): Promise<void> {
  const group = groupOf(source.name);
  if (source.devices.length === 0)
    throw new PoolError('VIR_ERR_INVALID_ARG', 'a volume group is built of devices, and there are none');
  for (const device of source.devices) needsDevice(device);
  if (!overwrite) for (const device of source.devices) await checkBlank(device);
  else await run('wipefs', ['--all', '--', ...source.devices]);
  await run('vgcreate', ['--yes', '--', group, ...source.devices]);
}

async function findSources() {
  const groups = new Map<string, string[]>();
  for (const { group, path } of await physicalVolumes())
    if (group !== '') groups.set(group, [...(groups.get(group) ?? []), path]);
  return [...groups].map(([name, devices]) => ({ hosts: [], devices, name, format: 'lvm2' }));
}

/** Those that are active and whole. Thin pools have no device, and are no volumes (virStorageBackendLogicalMakeVol). */
function shown(pool: PoolDefinition, volumes: readonly LogicalVolume[]): VolumeDefinition[] {
  return volumes
    .filter(({ isActive, isThinPool, marks }) => isActive && !isThinPool && marks.length === 0)
    .map(({ name, uuid, size, extents, origin }) => {
      const backing = origin === undefined ? undefined : blockVolume({ name, path: pathOf(pool, origin) });
      return blockVolume({
        name,
        key: uuid,
        path: pathOf(pool, name),
        allocation: size,
        extents,
        backing: backing?.target,
      });
    })
    .filter((volume) => volume !== undefined);
}

async function create(pool: PoolDefinition, volume: NewVolume, more: readonly string[]): Promise<void> {
  const { name, capacity, allocation, backing } = volume;
  const group = groupOf(pool.source.name);
  checkName(name);
  if ((await removeLeftovers(group)).some((each) => each.name === name))
    throw new PoolError('VIR_ERR_STORAGE_VOL_EXIST', `storage volume ${quoted(name)} exists already`);
  if (backing !== undefined && dirname(backing.path) !== pool.target.path)
    throw new PoolError('VIR_ERR_INVALID_ARG', `${quoted(backing.path)} is no volume of this group`);
  const size = (bytes: number) => `${Math.max(1, Math.ceil(bytes / 1024))}K`;
  const isSparse = backing === undefined && allocation < capacity;
  const kind = isSparse ? ['--type', 'snapshot', '--virtualsize', size(capacity)] : [];
  const of = backing === undefined ? [group] : ['--snapshot', `${group}/${nameIn(backing.path)}`];
  const room = size(isSparse ? allocation : capacity);
  await run('lvcreate', ['--yes', '--name', name, '--size', room, ...kind, ...more, ...of]);
}

function nameIn(path: string): string {
  const name = path.slice(dirname(path).length + 1);
  checkName(name);
  return name;
}

/** lvm(8), VALID NAMES; what LVM keeps for itself, it refuses by itself. */
function checkName(name: string): void {
  if (/^(?!\.\.?$)[A-Za-z0-9_.+][A-Za-z0-9_.+-]{0,126}$/.test(name)) return;
  throw new PoolError('VIR_ERR_OPERATION_INVALID', `${quoted(name)} is no name for a logical volume`);
}

async function orRemove(pool: PoolDefinition, { name }: NewVolume, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    await run('lvremove', ['--force', '--yes', fullName(pool, name)]);
    throw error;
  }
}
