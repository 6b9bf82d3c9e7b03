/**
 * The storage pools of this user: libvirt's virConnect*StoragePool* calls, without a daemon. What is defined lies below the
 * configuration's folder, what runs below that of the running; a pool that is in the latter is active. Nothing else is kept: sizes and
 * volumes are looked at when they are asked for.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isUuid } from '../../../xenner/domain/identity.js';
import { Definitions, isFileName } from '../../state/definitions.js';
import { configDirectory, runtimeDirectory } from '../../state/directories.js';
import { exclusively } from '../../state/exclusively.js';
import { type BuildOptions, backendOf } from './backend.js';
import type { PoolDefinition } from './definition.js';
import { PoolError, quoted } from './errors.js';
import { isPoolType, POOL_TYPE_NAMES, sharesSource } from './pool-types.js';
import { parseDocument, readPool, readSource, writePool, writeSources } from './pool-xml.js';
import { StoragePool } from './storage-pool.js';
import type { StorageVolume } from './storage-volume.js';

export interface StoragePoolsOptions {
  /** By default XENNER_CONFIG_DIR, /etc/xenner for root, or below XDG_CONFIG_HOME. */
  readonly configDirectory?: string | undefined;
  /** By default XENNER_RUN_DIR, /run/xenner for root, or below XDG_RUNTIME_DIR. */
  readonly runDirectory?: string | undefined;
  /** Is told, a line each, of damaged files that were set aside, and of volumes that cannot be read. */
  readonly report?: ((line: string) => void) | undefined;
}

/** What a list is to have; of each pair neither or both mean all (VIR_CONNECT_LIST_STORAGE_POOLS_*). */
export interface PoolFilter {
  readonly active?: boolean | undefined;
  readonly inactive?: boolean | undefined;
  readonly persistent?: boolean | undefined;
  readonly transient?: boolean | undefined;
  readonly autostart?: boolean | undefined;
  readonly noAutostart?: boolean | undefined;
  /** None: of any type. */
  readonly types?: readonly string[] | undefined;
}

/** @throws XennerError (rejection) from all methods: PoolErrors; EBUSY where another process holds a lock; ERUNDIR */
export class StoragePools {
  readonly persistent: Definitions<PoolDefinition>;
  readonly live: Definitions<PoolDefinition>;
  readonly report: (line: string) => void;

  constructor(options: StoragePoolsOptions = {}) {
    this.report = options.report ?? (() => {});
    const codec = { read: readPool, write: (pool: PoolDefinition) => writePool(pool) };
    const folder = (directory: string) => new Definitions(join(directory, 'storage'), codec, this.report);
    this.persistent = folder(options.configDirectory ?? configDirectory());
    this.live = folder(options.runDirectory ?? runtimeDirectory());
  }

  /** By name. */
  async list(filter: PoolFilter = {}): Promise<StoragePool[]> {
    const names = [...new Set([...this.persistent.names(), ...this.live.names()])].sort();
    const pools = names.map((name) => this.#find(name)).filter((pool) => pool !== undefined);
    await this.#mend();
    return pools.filter((pool) => matches(pool, filter));
  }

  /** @throws PoolError (rejection) VIR_ERR_NO_STORAGE_POOL */
  async lookupByName(name: string): Promise<StoragePool> {
    const pool = this.#find(name);
    await this.#mend();
    if (pool !== undefined) return pool;
    throw new PoolError(
      'VIR_ERR_NO_STORAGE_POOL',
      `no storage pool with matching name ${quoted(name)}`,
      "'xenner pool-list --all' shows those that there are",
    );
  }

  /** @throws PoolError (rejection) VIR_ERR_NO_STORAGE_POOL */
  async lookupByUUID(uuid: string): Promise<StoragePool> {
    const pool = (await this.list()).find((each) => each.uuid === uuid.toLowerCase());
    if (pool !== undefined) return pool;
    throw new PoolError('VIR_ERR_NO_STORAGE_POOL', `no storage pool with matching uuid ${quoted(uuid)}`);
  }

  /** By name or UUID, as virsh takes either. */
  lookup(which: string): Promise<StoragePool> {
    const isByUuid = isUuid(which) && this.#find(which) === undefined;
    return isByUuid ? this.lookupByUUID(which) : this.lookupByName(which);
  }

  /** @throws PoolError (rejection) VIR_ERR_NO_STORAGE_VOL */
  lookupVolumeByPath(path: string): Promise<StorageVolume> {
    return this.#lookupVolume('path', path);
  }

  /** Of files, keys are paths. @throws PoolError (rejection) VIR_ERR_NO_STORAGE_VOL */
  lookupVolumeByKey(key: string): Promise<StorageVolume> {
    return this.#lookupVolume('key', key);
  }

  /** A pool that cannot be used keeps nobody from those of others. */
  async #lookupVolume(by: 'path' | 'key', text: string): Promise<StorageVolume> {
    for (const pool of await this.list({ active: true })) {
      try {
        const volume = await pool.findVolume(by, text);
        if (volume !== undefined) return volume;
      } catch (error) {
        if (!(error instanceof PoolError)) throw error;
      }
    }
    throw new PoolError('VIR_ERR_NO_STORAGE_VOL', `no storage vol with matching ${by} ${quoted(text)}`);
  }

  /** Makes or changes a persistent pool. One that runs keeps what it was started with (virStoragePoolDefineXML). */
  async define(xml: string): Promise<StoragePool> {
    const definition = readPool(xml);
    await this.exclusively(() => {
      this.checkFree(definition);
      this.persistent.put(definition);
    });
    return this.lookupByName(definition.name);
  }

  /** Starts a pool that is gone when it is stopped, unless it is defined as well (virStoragePoolCreateXML). */
  async create(xml: string, options: BuildOptions & { readonly build?: boolean } = {}): Promise<StoragePool> {
    const definition = readPool(xml);
    const pool = new StoragePool(this, definition);
    await pool.start(options);
    return pool;
  }

  /**
   * What a pool of the type could be made from, as a document (virConnectFindStoragePoolSources).
   *
   * @param sourceXml a <source> that says where to look
   */
  async findSources(type: string, sourceXml?: string): Promise<string> {
    if (!isPoolType(type))
      throw new PoolError(
        'VIR_ERR_INVALID_ARG',
        `unknown storage pool type ${quoted(type)}`,
        `there are ${POOL_TYPE_NAMES.join(', ')}`,
      );
    const backend = await backendOf(type);
    if (backend.findSources === undefined)
      throw new PoolError('VIR_ERR_NO_SUPPORT', `pool type '${type}' does not support source discovery`);
    const search = parseDocument(sourceXml ?? '<source/>', 'source');
    return writeSources(type, await backend.findSources(readSource(search, type, true)));
  }

  /** Starts all that are to be started with the host. Those that fail are told, and do not keep others from it. */
  async startAutostarted(): Promise<void> {
    for (const pool of await this.list({ autostart: true, inactive: true })) {
      try {
        await pool.start();
      } catch (error) {
        this.report(`pool ${quoted(pool.name)} could not be started: ${(error as Error).message}`);
      }
    }
  }

  /** Alone with all definitions. */
  exclusively<T>(act: () => T | Promise<T>): Promise<T> {
    mkdirSync(this.live.folder, { recursive: true, mode: 0o700 });
    return exclusively(join(this.live.folder, 'lock'), act);
  }

  /** Alone with one pool, for what takes longer. exclusively() may be called inside, and not the other way round. */
  exclusivelyPool<T>(name: string, act: () => T | Promise<T>): Promise<T> {
    mkdirSync(this.live.folder, { recursive: true, mode: 0o700 });
    return exclusively(join(this.live.folder, `${name}.lock`), act);
  }

  /** Names and UUIDs are of one pool each, and so is what a pool is made from. Inside exclusively(). @throws PoolError */
  checkFree(definition: PoolDefinition): void {
    const { name, uuid } = definition;
    for (const other of [...this.persistent.all(), ...this.live.all()]) {
      const failure = (what: string) => new PoolError('VIR_ERR_OPERATION_FAILED', what);
      if (other.name === name && other.uuid !== uuid)
        throw failure(`pool ${quoted(name)} already exists with uuid ${other.uuid}`);
      if (other.name !== name && other.uuid === uuid)
        throw failure(`pool ${quoted(other.name)} is already defined with uuid ${uuid}`);
      if (other.name !== name && sharesSource(other, definition))
        throw failure(`Storage source conflict with pool: ${quoted(other.name)}`);
    }
  }

  #find(name: string): StoragePool | undefined {
    if (!isFileName(name)) return undefined;
    const definition = this.live.get(name) ?? this.persistent.get(name);
    return definition && new StoragePool(this, definition);
  }

  async #mend(): Promise<void> {
    if (!this.live.isDamaged && !this.persistent.isDamaged) return;
    await this.exclusively(() => {
      this.live.mend();
      this.persistent.mend();
    });
  }
}

function matches(pool: StoragePool, filter: PoolFilter): boolean {
  const either = (is: boolean, yes = false, no = false) => yes === no || (is ? yes : no);
  return (
    either(pool.isActive, filter.active, filter.inactive) &&
    either(pool.isPersistent, filter.persistent, filter.transient) &&
    either(pool.isAutostarted, filter.autostart, filter.noAutostart) &&
    (filter.types === undefined || filter.types.includes(pool.definition.type))
  );
}
