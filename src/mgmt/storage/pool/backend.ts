/** What each type of pool does in its own way. One of these at a time works on a pool, but for what only reads. */
import type {
  NewVolume,
  Permissions,
  PoolDefinition,
  PoolSizes,
  PoolSource,
  VolumeDefinition,
} from './definition.js';
import type { PoolTypeName } from './pool-types.js';

export interface BuildOptions {
  /** What is on the device is lost (VIR_STORAGE_POOL_BUILD_OVERWRITE). */
  readonly overwrite?: boolean | undefined;
  /** Only where there is nothing (VIR_STORAGE_POOL_BUILD_NO_OVERWRITE). */
  readonly noOverwrite?: boolean | undefined;
}

export interface VolumeOptions {
  /** Makes tables of a qcow2 at once (VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA). */
  readonly preallocateMetadata?: boolean | undefined;
}

/** Errors are PoolErrors: VIR_ERR_SYSTEM_ERROR where the host refuses, VIR_ERR_OPERATION_FAILED where a command of it does. */
export interface PoolBackend {
  /** Devices are raw, whatever is on them; files are in the folder that is the pool's target. */
  readonly volumesAre: 'files' | 'devices';
  /** The host lets nobody else use such pools, and for that reason. */
  readonly rootFor?: string | undefined;
  /** @param search what <source> says of where to look */
  findSources?(search: PoolSource): Promise<readonly PoolSource[]>;
  build?(pool: PoolDefinition, options: BuildOptions): Promise<void>;
  /** What is started already, stays so: a process may have been killed before it could tell. Answers what it is since. */
  start?(pool: PoolDefinition): Promise<PoolDefinition>;
  /** Nor does it matter that it is stopped already. */
  stop?(pool: PoolDefinition): Promise<void>;
  delete?(pool: PoolDefinition): Promise<void>;
  /** Has the host look for what is new. */
  refresh?(pool: PoolDefinition): Promise<void>;
  /** Of the target of a pool that runs, where they are not just what its document says. */
  permissions?(pool: PoolDefinition): Permissions;
  sizes(pool: PoolDefinition): Promise<PoolSizes>;
  /** @param report is told of what cannot be read */
  volumes(pool: PoolDefinition, report: (line: string) => void): Promise<VolumeDefinition[]>;
  volume(pool: PoolDefinition, name: string): Promise<VolumeDefinition | undefined>;
  /** All of it, or nothing. */
  createVolume?(pool: PoolDefinition, volume: NewVolume, options: VolumeOptions): Promise<void>;
  /** @param fill gives it its contents, by the path of what is no volume yet */
  createVolumeFrom?(
    pool: PoolDefinition,
    volume: NewVolume,
    fill: (path: string) => Promise<void>,
  ): Promise<void>;
  deleteVolume?(pool: PoolDefinition, volume: VolumeDefinition): Promise<void>;
}

const BACKENDS: Readonly<Record<PoolTypeName, () => Promise<PoolBackend>>> = {
  dir: async () => (await import('./dir.js')).dirBackend,
  disk: async () => (await import('./disk.js')).diskBackend,
  fs: async () => (await import('./fs.js')).fsBackend,
  iscsi: async () => (await import('./iscsi.js')).iscsiBackend,
  logical: async () => (await import('./logical.js')).logicalBackend,
  mpath: async () => (await import('./mpath.js')).mpathBackend,
  netfs: async () => (await import('./netfs.js')).netfsBackend,
  scsi: async () => (await import('./scsi.js')).scsiBackend,
};

export function backendOf(type: PoolTypeName): Promise<PoolBackend> {
  return BACKENDS[type]();
}
