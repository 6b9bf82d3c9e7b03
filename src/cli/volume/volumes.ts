/** Volumes as commands name them: by name in a pool, by key or by path; and sizes. */
import { type Command, InvalidArgumentError } from 'commander';
import { PoolError } from '../../mgmt/storage/pool/errors.js';
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
  const volume = which.startsWith('/') ? await pools.lookupVolumeByPath(which) : undefined;
  if (volume === undefined)
    throw new PoolError(
      'VIR_ERR_NO_STORAGE_VOL',
      `a volume is named by its path, or with its pool`,
      'add --pool',
    );
  if (within === undefined || volume.pool.uuid === within.uuid) return volume;
  throw new PoolError('VIR_ERR_NO_STORAGE_VOL', `${which} is no volume of the pool ${within.name}`);
}

/** `10M`, `1GB`, ... : bytes where no unit is said. */
export function scaledBytes(text: string): number {
  const [, digits, unit = ''] = /^\+?(\d{1,19})([a-z]*)$/i.exec(text) ?? [];
  const factor = unit === '' ? 1 : unitBytes(unit);
  const bytes = Number(digits) * (factor ?? Number.NaN);
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError(`${JSON.stringify(text)} is no size: 10M is one.`);
}
