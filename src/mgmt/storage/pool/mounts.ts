/** Pools whose folder is the root of a file system that is mounted for them. */
import { readFileSync, realpathSync } from 'node:fs';
import type { PoolBackend } from './backend.js';
import type { PoolDefinition } from './definition.js';
import { PoolError, quoted, systemError } from './errors.js';
import { buildFolder, fileVolumes, folderPermissions, folderSizes, removeFolder } from './folder.js';
import { run } from './program.js';

/** As libvirt mounts: what is on it may come from a guest. */
const OPTIONS = ['nodev', 'nosuid', 'noexec'];

export interface Mountable {
  /** As mount(8) takes it, and the kernel tells it. */
  readonly source: string;
  /** Whether the kernel's words mean it, where they are not the same. */
  readonly isSource?: (mounted: string) => boolean;
  /** Undefined: mount(8) finds out. */
  readonly type?: string | undefined;
  readonly options?: readonly string[];
}

/** @param of what a pool mounts */
export function mountedFolder(of: (pool: PoolDefinition) => Mountable) {
  const needsMount = (pool: PoolDefinition): void => {
    if (!isMounted(pool, of(pool)))
      throw new PoolError(
        'VIR_ERR_OPERATION_INVALID',
        `${quoted(of(pool).source)} is not mounted at ${quoted(pool.target.path)} any more`,
        'stop the pool and start it again',
      );
  };
  return {
    volumesAre: 'files',
    rootFor: 'mounting takes CAP_SYS_ADMIN',
    build: async (pool) => buildFolder(pool),
    start: async (pool) => {
      const { source, type, options = [] } = of(pool);
      if (isMounted(pool, of(pool))) return pool;
      const kind = type === undefined ? [] : ['-t', type];
      await run('mount', ['-o', [...OPTIONS, ...options].join(), ...kind, '--', source, pool.target.path]);
      return pool;
    },
    stop: async (pool) => {
      if (isMounted(pool, of(pool))) await run('umount', ['--', pool.target.path]);
    },
    delete: async (pool) => removeFolder(pool),
    permissions: folderPermissions,
    sizes: async (pool) => {
      needsMount(pool);
      return folderSizes(pool);
    },
    volumes: async (pool, report) => {
      needsMount(pool);
      return fileVolumes.volumes(pool, report);
    },
    volume: async (pool, name) => {
      needsMount(pool);
      return fileVolumes.volume(pool, name);
    },
    createVolume: async (pool, volume, options) => {
      needsMount(pool);
      await fileVolumes.createVolume(pool, volume, options);
    },
    createVolumeFrom: async (pool, volume, fill) => {
      needsMount(pool);
      await fileVolumes.createVolumeFrom(pool, volume, fill);
    },
    deleteVolume: fileVolumes.deleteVolume,
  } satisfies PoolBackend;
}

/** What was mounted there last is what is seen there. */
function isMounted({ target }: PoolDefinition, { source, isSource }: Mountable): boolean {
  const place = realPath(target.path);
  const mounted = mounts().findLast((mount) => mount.place === place)?.source;
  return mounted !== undefined && (mounted === source || (isSource?.(mounted) ?? false));
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** proc(5), /proc/PID/mountinfo. */
function mounts(): { place: string; source: string }[] {
  let text: string;
  try {
    text = readFileSync('/proc/self/mountinfo', 'utf8');
  } catch (error) {
    throw systemError('cannot read what is mounted', error);
  }
  const plain = (word = '') =>
    word.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
  return text.split('\n').map((line) => {
    const [before = '', behind = ''] = line.split(' - ');
    return { place: plain(before.split(' ')[4]), source: plain(behind.split(' ')[1]) };
  });
}
