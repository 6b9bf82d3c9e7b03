/** Devices of the host as volumes. What is on them is a guest's, so that nothing of it is believed: they are raw. */
import { type BigIntStats, chmodSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { XennerError } from '../../../base/errors.js';
import { zeroRange } from '../raw-image.js';
import { StorageFile } from '../storage-file.js';
import { openUnused } from './create-file.js';
import type { BackingStore, NewVolume, VolumeDefinition } from './definition.js';
import { PoolError, quoted, systemError } from './errors.js';
import { permissionsOf, sizeOf, timestampsOf } from './file-volume.js';
import { takeOwner } from './folder.js';

/** libvirt's (VIR_STORAGE_DEFAULT_VOL_PERM_MODE). */
const DEFAULT_MODE = 0o600;

/** What whoever made the device knows of it. */
export interface DeviceFacts {
  readonly name: string;
  /** By default its path. */
  readonly key?: string | undefined;
  readonly path: string;
  /** By default as large as the device. */
  readonly capacity?: number | undefined;
  readonly allocation?: number | undefined;
  readonly extents?: VolumeDefinition['extents'] | undefined;
  /** What documents have in place of a format. */
  readonly formatName?: string | undefined;
  readonly backing?: BackingStore | undefined;
}

/** Undefined: there is no such device. */
export function blockVolume(facts: DeviceFacts): VolumeDefinition | undefined {
  const { name, path, extents, backing, formatName = null } = facts;
  const stat = deviceAt(path);
  if (stat === undefined) return undefined;
  const physical = sizeOf(stat);
  return {
    type: 'block',
    name,
    key: facts.key ?? path,
    capacity: facts.capacity ?? physical,
    allocation: facts.allocation ?? physical,
    physical,
    ...(extents && { extents }),
    target: {
      path,
      format: 'raw',
      formatName,
      permissions: permissionsOf(stat),
      timestamps: timestampsOf(stat),
    },
    backing,
  };
}

export function deviceAt(path: string): BigIntStats | undefined {
  try {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    return stat?.isBlockDevice() ? stat : undefined;
  } catch (error) {
    throw systemError(`cannot open device ${quoted(path)}`, error);
  }
}

/** @throws PoolError VIR_ERR_INVALID_ARG */
export function needsDevice(path: string | undefined): string {
  if (path !== undefined && deviceAt(path) !== undefined) return path;
  throw new PoolError('VIR_ERR_INVALID_ARG', `device path ${quoted(path ?? '')} doesn't exist`);
}

/**
 * Names of a device that stay the same when others come and go: links in the pool's target. Empty for a target that has none, which
 * is /dev itself (virStorageBackendStablePath).
 */
export function stableNames(target: string): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  if (target === '/dev') return names;
  try {
    for (const name of readdirSync(target).sort().reverse()) {
      const path = join(target, name);
      try {
        names.set(realpathSync(path), path);
      } catch {
        // What it led to is gone.
      }
    }
  } catch (error) {
    throw systemError(`cannot read dir ${quoted(target)}`, error);
  }
  return names;
}

/** A new device's permissions, in place of those that udev gives. */
export function takePermissions(path: string, { permissions }: NewVolume): void {
  chmodSync(path, permissions.mode ?? DEFAULT_MODE);
  takeOwner(path, permissions);
}

/** What was there before is gone: whoever copies to it leaves zeros out. */
export async function blankDevice(path: string): Promise<void> {
  const file = await StorageFile.open(path);
  try {
    await zeroRange(file, 0, file.sizeBytes, true);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** @throws PoolError VIR_ERR_OPERATION_INVALID: a guest has it */
export async function checkUnused({ name, target }: VolumeDefinition): Promise<void> {
  try {
    await (await openUnused(target.path, { readOnly: true })).close();
  } catch (error) {
    if (error instanceof XennerError) throw error;
    throw systemError(`cannot remove volume ${quoted(name)}`, error);
  }
}
