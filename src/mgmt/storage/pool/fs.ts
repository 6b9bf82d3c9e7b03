/** Pools of the type fs: a file system on a device of the host's. */
import type { BuildOptions, PoolBackend } from './backend.js';
import { deviceAt, needsDevice } from './block-volume.js';
import type { PoolDefinition } from './definition.js';
import { PoolError } from './errors.js';
import { buildFolder } from './folder.js';
import { mountedFolder } from './mounts.js';
import { run } from './program.js';
import { checkBlank } from './signatures.js';

/** Terabytes, on slow disks. */
const MKFS_TIMEOUT_MS = 15 * 60_000;

const mounted = mountedFolder(({ source: { devices, format } }) => ({
  source: devices[0]!,
  // By whatever name it was mounted.
  isSource: (name) => {
    const [one, other] = [deviceAt(name)?.rdev, deviceAt(devices[0]!)?.rdev];
    return one !== undefined && one === other;
  },
  type: format,
}));

export const fsBackend: PoolBackend = {
  ...mounted,
  build: async (pool, options) => {
    if (options.overwrite || options.noOverwrite) await makeFileSystem(pool, options);
    buildFolder(pool);
  },
};

async function makeFileSystem({ source }: PoolDefinition, { overwrite }: BuildOptions): Promise<void> {
  const device = needsDevice(source.devices[0]);
  const format = source.format!;
  if (format === 'auto')
    throw new PoolError(
      'VIR_ERR_INVALID_ARG',
      "a file system of the format 'auto' cannot be made",
      'name one in the definition: ext4, xfs, ...',
    );
  if (!overwrite) await checkBlank(device);
  // mkfs.xfs alone asks for what is there to be overwritten by an option.
  const force = format === 'xfs' ? ['-f'] : [];
  await run('mkfs', ['-t', format, ...force, device], { timeoutMs: MKFS_TIMEOUT_MS });
}
