/** What is said of pools and volumes, as libvirt's documents say it. Sizes are in bytes. */
import type { PoolTypeName } from './pool-types.js';

/** What is undefined is left as it comes. */
export interface Permissions {
  /** Of chmod(2), the low nine bits. */
  readonly mode?: number | undefined;
  readonly owner?: number | undefined;
  readonly group?: number | undefined;
  readonly label?: string | undefined;
}

export type PoolAdapter =
  | {
      readonly type: 'scsi_host';
      /** `host3` or `scsi_host3`; or its place on the PCI bus. */
      readonly name?: string | undefined;
      readonly parentAddress?: { readonly address: string; readonly uniqueId: number } | undefined;
    }
  | {
      readonly type: 'fc_host';
      /** Sixteen hexadecimal digits each. */
      readonly wwnn: string;
      readonly wwpn: string;
      /** The adapter that it is a virtual one of: scsi_host5. */
      readonly parent?: string | undefined;
      /** It ends with the pool. */
      readonly managed?: boolean | undefined;
    };

export interface PoolSource {
  readonly hosts: readonly { readonly name: string; readonly port?: number | undefined }[];
  /** Paths of devices; of iSCSI, the target's name. */
  readonly devices: readonly string[];
  readonly adapter?: PoolAdapter | undefined;
  /** The name that iSCSI's targets are to see. */
  readonly initiator?: string | undefined;
  readonly dir?: string | undefined;
  /** Of a volume group. */
  readonly name?: string | undefined;
  readonly format?: string | undefined;
  /** Of NFS: `4` or `4.1`. */
  readonly protocolVersion?: string | undefined;
  readonly vendor?: string | undefined;
  readonly product?: string | undefined;
}

/** A pool's document (https://libvirt.org/formatstorage.html). */
export interface PoolDefinition {
  readonly type: PoolTypeName;
  readonly name: string;
  /** In lower case. */
  readonly uuid: string;
  readonly source: PoolSource;
  readonly target: { readonly path: string; readonly permissions: Permissions };
}

/** What a pool that runs says of its room. */
export interface PoolSizes {
  readonly capacity: number;
  readonly allocation: number;
  readonly available: number;
  /** Where on its device a partition could be made. */
  readonly freeExtents?: readonly { readonly start: number; readonly end: number }[];
}

export const NO_SIZES: PoolSizes = { capacity: 0, allocation: 0, available: 0 };

export type VolumeType = 'file' | 'block' | 'dir';

/** Nanoseconds since 1970. */
export interface Timestamps {
  readonly atime: bigint;
  readonly mtime: bigint;
  readonly ctime: bigint;
}

export interface VolumeTarget {
  readonly path: string;
  /** As libvirt names it: `vpc` is a VHD. */
  readonly format: string;
  /** What documents have in place of it; null: nothing. */
  readonly formatName?: string | null | undefined;
  readonly permissions: Permissions;
  readonly timestamps?: Timestamps | undefined;
  /** Of qcow2: `1.1` for version 3, whose features those are; undefined for version 2. */
  readonly compat?: string | undefined;
  readonly features?: readonly string[] | undefined;
  readonly clusterBytes?: number | undefined;
  /** Of what the volume is encrypted with: `luks`, `qcow`. */
  readonly encryption?: string | undefined;
}

/** What an image lies above. Where there is no such file, no more is known of it than its name. */
export interface BackingStore {
  readonly path: string;
  readonly format: string;
  readonly formatName?: string | null | undefined;
  readonly permissions?: Permissions | undefined;
  readonly timestamps?: Timestamps | undefined;
}

export interface VolumeDefinition {
  readonly type: VolumeType;
  readonly name: string;
  /** Told apart from all other volumes by it. */
  readonly key: string;
  /** What a guest sees. */
  readonly capacity: number;
  readonly allocation: number;
  /** What the host says the file's size is. */
  readonly physical?: number | undefined;
  /** Where on which device it lies, if a volume manager says so. */
  readonly extents?: readonly { readonly path: string; readonly start: number; readonly end: number }[];
  readonly target: VolumeTarget;
  readonly backing?: BackingStore | undefined;
}

/** A volume that is to be made. */
export interface NewVolume {
  readonly name: string;
  readonly capacity: number;
  /** By default all of it. */
  readonly allocation: number;
  readonly format: string;
  readonly permissions: Permissions;
  readonly compat?: string | undefined;
  readonly features: readonly string[];
  readonly clusterBytes?: number | undefined;
  readonly backing?: { readonly path: string; readonly format: string } | undefined;
}
