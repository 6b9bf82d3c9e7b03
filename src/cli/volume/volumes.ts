/** Volumes as commands name them: by name in a pool, by key or by path; and sizes. */
import { type Command, InvalidArgumentError } from 'commander';
import { PoolError, quoted } from '../../mgmt/storage/pool/errors.js';
import type { StoragePools } from '../../mgmt/storage/pool/pools.js';
import type { StorageVolume } from '../../mgmt/storage/pool/storage-volume.js';
import { unitBytes } from '../../mgmt/storage/pool/xml-fields.js';
import { openPools } from '../pool/pools.js';

export interface PoolChoice {
  pool?: string;
}

/** virsh takes the pool as an option and as a last argument. */
export function addPoolChoice(command: Command): Command {
  return command.argument('[pool]', 'name or UUID of its pool').option('--pool <pool>', 'the same');
}

/** @throws PoolError VIR_ERR_NO_STORAGE_POOL, VIR_ERR_NO_STORAGE_VOL */
export async function findVolume(which: string, pool: string | undefined): Promise<StorageVolume> {
  const pools = openPools();
  const within = pool === undefined ? undefined : await pools.lookup(pool);
  if (within !== undefined && !which.startsWith('/')) return within.lookupVolume(which);
  const volume = await byPathOrKey(pools, which);
  if (within === undefined || volume.pool.uuid === within.uuid) return volume;
  throw new PoolError('VIR_ERR_NO_STORAGE_VOL', `${which} is no volume of the pool ${within.name}`);
}

/** Keys of what is not a file are no paths. */
async function byPathOrKey(pools: StoragePools, which: string): Promise<StorageVolume> {
  if (which.startsWith('/')) return pools.lookupVolumeByPath(which);
  try {
    return await pools.lookupVolumeByKey(which);
  } catch (error) {
    if (!(error instanceof PoolError) || error.code !== 'VIR_ERR_NO_STORAGE_VOL') throw error;
    throw new PoolError(
      'VIR_ERR_NO_STORAGE_VOL',
      `no volume has the key ${quoted(which)}; others are named by their path, or with their pool`,
      'add --pool',
    );
  }
}

/** `10M`, `1GB`, ... : bytes where no unit is said. */
export function scaledBytes(text: string): number {
  const [, digits, unit = ''] = /^\+?(\d{1,19})([a-z]*)$/i.exec(text) ?? [];
  const factor = unit === '' ? 1 : unitBytes(unit);
  const bytes = Number(digits) * (factor ?? Number.NaN);
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError(`${JSON.stringify(text)} is no size: 10M is one.`);
}
