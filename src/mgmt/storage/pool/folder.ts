/** A folder whose files are volumes: what pools of the types dir, fs and netfs are once they run. */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  opendirSync,
  readdirSync,
  rmdirSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { MAX_POOL_VOLUMES } from '../../../base/limits.js';
import type { PoolBackend } from './backend.js';
import { createFile, createFileFrom, deleteFile, isVolumeName } from './create-file.js';
import type { Permissions, PoolDefinition, PoolSizes, VolumeDefinition } from './definition.js';
import { PoolError, quoted, systemError } from './errors.js';
import { permissionsOf, probeVolume } from './file-volume.js';

/** libvirt's, where the document says nothing (VIR_STORAGE_DEFAULT_POOL_PERM_MODE). */
const DEFAULT_MODE = 0o711;

export function buildFolder({ target }: PoolDefinition): void {
  const { path, permissions } = target;
  try {
    const isNew = makeFolder(path, permissions.mode ?? DEFAULT_MODE);
    if (permissions.mode !== undefined && !isNew) chmodSync(path, permissions.mode);
    takeOwner(path, permissions);
  } catch (error) {
    throw systemError(`cannot create path ${quoted(path)}`, error);
  }
}

/** Its mode is exactly this one, whatever the umask; folders above it get what they get. False: it was there. */
function makeFolder(path: string, mode: number): boolean {
  mkdirSync(dirname(path), { recursive: true });
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && statSync(path).isDirectory()) return false;
    throw error;
  }
  chmodSync(path, mode);
  return true;
}

export function takeOwner(path: string, { owner, group }: Permissions): void {
  if (owner === undefined && group === undefined) return;
  const stat = statSync(path);
  if ((owner ?? stat.uid) !== stat.uid || (group ?? stat.gid) !== stat.gid)
    chownSync(path, owner ?? stat.uid, group ?? stat.gid);
}

export function removeFolder({ name, target }: PoolDefinition): void {
  try {
    rmdirSync(target.path);
  } catch (error) {
    throw systemError(`failed to remove pool ${quoted(name)}`, error);
  }
}

/** As libvirt counts: what only root may use is available, too. */
export function folderSizes({ target }: PoolDefinition): PoolSizes {
  try {
    opendirSync(target.path).closeSync();
    const { bsize, blocks, bfree } = statfsSync(target.path);
    return { capacity: blocks * bsize, allocation: (blocks - bfree) * bsize, available: bfree * bsize };
  } catch (error) {
    throw systemError(`cannot open directory ${quoted(target.path)}`, error);
  }
}

export function folderPermissions({ target }: PoolDefinition): Permissions {
  try {
    return permissionsOf(statSync(target.path, { bigint: true }));
  } catch {
    return target.permissions;
  }
}

/** By name. */
export function folderVolumes(
  { target }: PoolDefinition,
  report: (line: string) => void,
): VolumeDefinition[] {
  const names = namesIn(target.path);
  const volumes: VolumeDefinition[] = [];
  for (const name of names) {
    try {
      const volume = probeVolume(target.path, name);
      if (volume !== undefined) volumes.push(volume);
    } catch (error) {
      report(systemError(`cannot open volume ${quoted(join(target.path, name))}`, error).message);
    }
  }
  return volumes;
}

function namesIn(path: string): string[] {
  let names: string[];
  try {
    names = readdirSync(path);
  } catch (error) {
    throw systemError(`cannot open directory ${quoted(path)}`, error);
  }
  if (names.length > MAX_POOL_VOLUMES)
    throw new PoolError('VIR_ERR_OPERATION_FAILED', `${path} has more than ${MAX_POOL_VOLUMES} files`);
  return names.filter(isVolumeName).sort();
}

export function folderVolume({ target }: PoolDefinition, name: string): VolumeDefinition | undefined {
  if (!isVolumeName(name)) return undefined;
  try {
    return probeVolume(target.path, name);
  } catch (error) {
    throw systemError(`cannot open volume ${quoted(join(target.path, name))}`, error);
  }
}

/** What pools whose volumes are files have in common. */
export const fileVolumes = {
  volumes: async (pool, report) => folderVolumes(pool, report),
  volume: async (pool, name) => folderVolume(pool, name),
  createVolume: ({ target }, volume, options) => createFile(target.path, volume, options),
  createVolumeFrom: ({ target }, volume, fill) => createFileFrom(target.path, volume, fill),
  deleteVolume: async (_pool, volume) => deleteFile(volume),
} satisfies Partial<PoolBackend>;
