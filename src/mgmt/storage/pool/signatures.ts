/** What a device looks like: file systems, partition tables, members of volume groups. */
import { PoolError, quoted } from './errors.js';
import { run } from './program.js';

/** Of blkid(8): nothing was found; several things were. */
const NOTHING = 2;
const AMBIVALENT = 8;

/** @throws PoolError VIR_ERR_STORAGE_POOL_BUILT: something is on the device (virStorageBackendDeviceIsEmpty) */
export async function checkBlank(device: string): Promise<void> {
  const found = await run('blkid', ['--probe', '--output', 'export', '--', device], {
    good: [0, NOTHING, AMBIVALENT],
  });
  const [, format] = /^(?:PT)?TYPE=(.*)$/m.exec(found) ?? [];
  if (found.trim() === '') return;
  throw new PoolError(
    'VIR_ERR_STORAGE_POOL_BUILT',
    `Device ${quoted(device)} already formatted using ${quoted(format ?? 'several things')}`,
    '--overwrite loses what is on it',
  );
}
