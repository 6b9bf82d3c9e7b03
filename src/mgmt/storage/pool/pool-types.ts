/** What pools there are, and what the documents of each have (libvirt: storage_conf.c, poolTypeInfo). */
import type { PoolAdapter, PoolDefinition } from './definition.js';

/** Parts of <source> that a type has. */
export type SourcePart = 'host' | 'device' | 'dir' | 'adapter' | 'name' | 'initiator';

export interface PoolType {
  readonly source: readonly SourcePart[];
  /** Of <source><format>; the first is the default. None: it is not written. */
  readonly formats?: readonly string[];
  /** Where the target is, whatever the user says. */
  readonly target?: (sourceName: string) => string;
  /** What no two pools of the type may have in common (virStoragePoolObjSourceFindDuplicate). */
  unique(pool: PoolDefinition): readonly string[];
}

const FILE_SYSTEMS = [
  ...['auto', 'ext2', 'ext3', 'ext4', 'ufs', 'iso9660', 'udf', 'gfs', 'gfs2'],
  ...['vfat', 'hfs+', 'xfs', 'ocfs2', 'vmfs'],
];
const LABELS = ['unknown', 'dos', 'dvh', 'gpt', 'mac', 'bsd', 'pc98', 'sun', 'lvm2'];

const devices = ({ source }: PoolDefinition) => source.devices;
const hosts = ({ source }: PoolDefinition) => source.hosts.map(({ name }) => name).join();

function adapterText(adapter: PoolAdapter): string {
  if (adapter.type === 'fc_host') return `${adapter.wwnn} ${adapter.wwpn}`;
  return adapter.name?.replace(/^scsi_/, '') ?? JSON.stringify(adapter.parentAddress);
}

export const POOL_TYPES = {
  dir: { source: [], unique: ({ target }) => [target.path] },
  fs: { source: ['device'], formats: FILE_SYSTEMS, unique: devices },
  netfs: {
    source: ['host', 'dir'],
    formats: ['auto', 'nfs', 'glusterfs', 'cifs'],
    unique: (pool) => [`${hosts(pool)} ${pool.source.dir}`],
  },
  logical: {
    source: ['device', 'name'],
    formats: ['lvm2', 'unknown'],
    target: (sourceName) => `/dev/${sourceName}`,
    unique: ({ source }) => [`${source.name}`, ...source.devices],
  },
  disk: { source: ['device'], formats: LABELS, unique: devices },
  iscsi: {
    source: ['host', 'device', 'initiator'],
    unique: (pool) => [`${hosts(pool)} ${devices(pool)} ${pool.source.initiator}`],
  },
  scsi: { source: ['adapter'], unique: ({ source }) => [adapterText(source.adapter!)] },
  mpath: { source: [], unique: () => ['all'] },
} satisfies Readonly<Record<string, PoolType>>;

export type PoolTypeName = keyof typeof POOL_TYPES;
export const POOL_TYPE_NAMES = Object.keys(POOL_TYPES) as PoolTypeName[];

export function poolType(name: PoolTypeName): PoolType {
  return POOL_TYPES[name];
}

export function isPoolType(name: string): name is PoolTypeName {
  return Object.hasOwn(POOL_TYPES, name);
}

export function sharesSource(one: PoolDefinition, other: PoolDefinition): boolean {
  if (one.type !== other.type) return false;
  const { unique } = poolType(one.type);
  return unique(one).some((each) => unique(other).includes(each));
}
