/** What pools there are, and what the documents of each have (libvirt: storage_conf.c, poolTypeInfo). */
import type { PoolDefinition } from './definition.js';

/** Parts of <source> that a type has. */
export type SourcePart = 'host' | 'device' | 'dir' | 'name';

export interface PoolType {
  readonly source: readonly SourcePart[];
  /** Of <source><format>; the first is the default. None: it is not written. */
  readonly formats?: readonly string[];
  /** Where the target is, whatever the user says. */
  readonly target?: (sourceName: string) => string;
  /** What no two pools of the type may have in common (virStoragePoolObjSourceFindDuplicate). */
  unique(pool: PoolDefinition): readonly string[];
}

export const POOL_TYPE_NAMES = ['dir'] as const;
export type PoolTypeName = (typeof POOL_TYPE_NAMES)[number];

export const POOL_TYPES: Readonly<Record<PoolTypeName, PoolType>> = {
  dir: { source: [], unique: ({ target }) => [target.path] },
};

export function isPoolType(name: string): name is PoolTypeName {
  return Object.hasOwn(POOL_TYPES, name);
}

export function sharesSource(one: PoolDefinition, other: PoolDefinition): boolean {
  if (one.type !== other.type) return false;
  const { unique } = POOL_TYPES[one.type];
  return unique(one).some((each) => unique(other).includes(each));
}
