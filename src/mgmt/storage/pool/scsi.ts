/** Pools of the type scsi: the logical units behind a host adapter. What makes them is elsewhere: they are only found. */
import type { PoolBackend } from './backend.js';
import { blockVolume, stableNames } from './block-volume.js';
import type { PoolDefinition, PoolSizes, VolumeDefinition } from './definition.js';
import { PoolError } from './errors.js';
import { createVport, deleteVport } from './npiv.js';
import { run, settleDevices } from './program.js';
import { hostOfAdapter, logicalUnits, rescanHost } from './scsi-host.js';

/** @param sys where sysfs is */
export function scsiPools(sys = '/sys'): PoolBackend {
  return {
    ...unitPools(sys, ({ source }) => hostOfAdapter(sys, source.adapter!)),
    start: async (pool) => {
      const given = pool.source.adapter!;
      const adapter = given.type === 'fc_host' ? createVport(sys, given) : given;
      try {
        await rescan(sys, hostOfAdapter(sys, adapter));
      } catch (error) {
        if (adapter.type === 'fc_host' && adapter !== given) deleteVport(sys, adapter);
        throw error;
      }
      return { ...pool, source: { ...pool.source, adapter } };
    },
    stop: async ({ source: { adapter } }) => {
      if (adapter!.type === 'fc_host' && adapter!.managed) deleteVport(sys, adapter!);
    },
  };
}

export const scsiBackend = scsiPools();

/** What pools have in common whose volumes are those of one SCSI host. */
export function unitPools(sys: string, hostOf: (pool: PoolDefinition) => number) {
  const volumes = async (pool: PoolDefinition): Promise<VolumeDefinition[]> => {
    const names = stableNames(pool.target.path);
    const isRemote = pool.source.adapter?.type === 'fc_host';
    const found = logicalUnits(sys, hostOf(pool)).map(async ({ name, block }) => {
      const path = pool.target.path === '/dev' ? `/dev/${block}` : names.get(`/dev/${block}`);
      return path === undefined ? undefined : blockVolume({ name, path, key: await keyOf(path, isRemote) });
    });
    return (await Promise.all(found)).filter((volume) => volume !== undefined);
  };
  return {
    volumesAre: 'devices',
    rootFor: 'rescanning takes CAP_SYS_ADMIN',
    refresh: (pool) => rescan(sys, hostOf(pool)),
    sizes: async (pool) => sizesOf(await volumes(pool)),
    volumes,
    volume: async (pool, name) => (await volumes(pool)).find((volume) => volume.name === name),
  } satisfies PoolBackend;
}

/** All of it belongs to somebody. */
export function sizesOf(volumes: readonly VolumeDefinition[]): PoolSizes {
  const sum = (size: 'capacity' | 'allocation') => volumes.reduce((bytes, volume) => bytes + volume[size], 0);
  return { capacity: sum('capacity'), allocation: sum('allocation'), available: 0 };
}

async function rescan(sys: string, host: number): Promise<void> {
  rescanHost(sys, host);
  await settleDevices();
}

/** The unit's own name for itself; behind several ports of one target, with the port (virStorageFileGetNPIVKey). */
async function keyOf(path: string, isRemote: boolean): Promise<string | undefined> {
  const words = [
    '--replace-whitespace',
    '--whitelisted',
    ...(isRemote ? ['--export'] : []),
    '--device',
    path,
  ];
  try {
    const said = (await run('scsi_id', words)).trim();
    if (!isRemote) return said.split('\n')[0] || undefined;
    const [, serial] = /^ID_SERIAL=(.+)$/m.exec(said) ?? [];
    const [, port] = /^ID_TARGET_PORT=(.+)$/m.exec(said) ?? [];
    return serial && port && `${serial}_PORT${port}`;
  } catch (error) {
    // Not every device has one, nor every host the program.
    if (error instanceof PoolError) return undefined;
    throw error;
  }
}
