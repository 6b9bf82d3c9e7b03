/** A file, folder or device as a volume, as it is found. Synchronous: thousands of small calls are twice as fast so. */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { BackingStore, Permissions, Timestamps, VolumeDefinition } from './definition.js';
import { FACTS_BYTES, type ImageFacts, imageFacts } from './image-facts.js';

/** Of stat(2). */
const BLOCK_BYTES = 512;
const head = new Uint8Array(FACTS_BYTES);

interface Probe {
  readonly stat: BigIntStats;
  readonly facts: ImageFacts;
}

/** Undefined: it is gone, or nothing that can be a volume. @throws system errors */
export function probeVolume(folder: string, name: string): VolumeDefinition | undefined {
  const path = join(folder, name);
  const probe = probeFile(path);
  if (probe === undefined) return undefined;
  const { stat, facts } = probe;
  const { format, compat, features, clusterBytes, encryption, backing } = facts;
  const common = { name, key: path };
  const timestamps = timestampsOf(stat);
  const permissions = permissionsOf(stat);
  if (stat.isDirectory()) {
    return {
      ...common,
      type: 'dir',
      capacity: 0,
      allocation: 0,
      target: { path, format: 'dir', permissions, timestamps },
    };
  }
  const physical = sizeOf(stat);
  return {
    ...common,
    type: stat.isFile() ? 'file' : 'block',
    capacity: facts.capacity ?? physical,
    allocation: stat.isFile() ? Number(stat.blocks) * BLOCK_BYTES : physical,
    physical,
    target: { path, format, permissions, timestamps, compat, features, clusterBytes, encryption },
    backing: backing && backingStore(path, backing.name, backing.format),
  };
}

/** Undefined: there is nothing to be read. */
function probeFile(path: string): Probe | undefined {
  let fd: number;
  try {
    // O_NONBLOCK: opening a FIFO must not wait for its other end.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    // ENXIO: a socket, or a device that nobody drives.
    if (['ENOENT', 'ELOOP', 'ENXIO', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return undefined;
    throw error;
  }
  try {
    const stat = fstatSync(fd, { bigint: true });
    if (stat.isDirectory()) return { stat, facts: { format: 'dir' } };
    if (!stat.isFile() && !stat.isBlockDevice()) return undefined;
    const count = stat.isFile() && stat.size === 0n ? 0 : readSync(fd, head, 0, FACTS_BYTES, 0);
    return { stat, facts: imageFacts(head.subarray(0, count)) };
  } finally {
    closeSync(fd);
  }
}

/** Of a device, stat(2) does not know it. */
export function sizeOf(stat: BigIntStats): number {
  if (stat.isFile()) return Number(stat.size);
  const [major, minor] = [(stat.rdev >> 8n) & 0xfffn, (stat.rdev & 0xffn) | ((stat.rdev >> 12n) & 0xfff00n)];
  return Number.parseInt(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'latin1'), 10) * BLOCK_BYTES;
}

export function permissionsOf({ mode, uid, gid }: BigIntStats): Permissions {
  return { mode: Number(mode) & 0o777, owner: Number(uid), group: Number(gid) };
}

export function timestampsOf({ atimeNs, mtimeNs, ctimeNs }: BigIntStats): Timestamps {
  return { atime: atimeNs, mtime: mtimeNs, ctime: ctimeNs };
}

/** A name as it stands in an image: `file:` before it, or relative to it; of another protocol it stays as it is. */
function backingStore(image: string, name: string, format: string | undefined): BackingStore {
  const [, protocol, rest = ''] = /^([^:/]*):(.*)$/s.exec(name) ?? [undefined, 'file', name];
  if (protocol !== 'file' || rest.includes('\0')) return { path: name, format: format ?? 'raw' };
  const path = resolve(dirname(image), rest);
  try {
    const stat = statSync(path, { bigint: true });
    const found = format ?? probeFile(path)?.facts.format ?? 'raw';
    return { path, format: found, permissions: permissionsOf(stat), timestamps: timestampsOf(stat) };
  } catch {
    return { path, format: format ?? 'raw' };
  }
}

/** What an image is above; undefined: nothing, or it cannot be read. */
export function backingOf(path: string): BackingStore | undefined {
  try {
    const backing = probeFile(path)?.facts.backing;
    return backing && backingStore(path, backing.name, backing.format);
  } catch {
    return undefined;
  }
}
