/** One storage pool: libvirt's virStoragePool* calls. */
import { basename, dirname } from 'node:path';
import { type BuildOptions, backendOf, type PoolBackend, type VolumeOptions } from './backend.js';
import { copyImage, reflinkImage } from './copy-image.js';
import { NO_SIZES, type PoolDefinition, type PoolSizes } from './definition.js';
import { PoolError, quoted } from './errors.js';
import { writePool } from './pool-xml.js';
import type { StoragePools } from './pools.js';
import { StorageVolume } from './storage-volume.js';
import { readVolume } from './volume-xml.js';

/** virStoragePoolState, in lower case. `inaccessible`: it was started, but its target is gone. */
export type PoolState = 'inactive' | 'building' | 'running' | 'degraded' | 'inaccessible';

export interface PoolInfo extends PoolSizes {
  readonly state: PoolState;
}

/** @throws XennerError (rejection) from all methods: PoolErrors; EBUSY where another process holds a lock */
export class StoragePool {
  /** @param definition of what runs, if it was running when it was looked up; otherwise of what is defined */
  constructor(
    private readonly pools: StoragePools,
    readonly definition: PoolDefinition,
  ) {}

  get name(): string {
    return this.definition.name;
  }

  get uuid(): string {
    return this.definition.uuid;
  }

  get isActive(): boolean {
    return this.pools.live.get(this.name) !== undefined;
  }

  get isPersistent(): boolean {
    return this.pools.persistent.get(this.name)?.uuid === this.uuid;
  }

  get isAutostarted(): boolean {
    return this.pools.persistent.isAutostarted(this.name);
  }

  async info(): Promise<PoolInfo> {
    if (!this.isActive) return { state: 'inactive', ...NO_SIZES };
    try {
      const sizes = await (await this.usableBackend()).sizes(this.definition);
      return { state: 'running', ...sizes };
    } catch (error) {
      if (!(error instanceof PoolError)) throw error;
      return { state: 'inaccessible', ...NO_SIZES };
    }
  }

  /** @param inactive what it will be started with the next time (VIR_STORAGE_XML_INACTIVE) */
  async xml({ inactive = false } = {}): Promise<string> {
    const persistent = this.pools.persistent.get(this.name);
    if (inactive && persistent !== undefined) return writePool(persistent);
    const { definition } = this;
    if (!this.isActive) return writePool(definition);
    const { permissions = () => definition.target.permissions } = await backendOf(definition.type);
    const target = { ...definition.target, permissions: permissions(definition) };
    const { state: _, ...sizes } = await this.info();
    return writePool({ ...definition, target }, sizes);
  }

  async build(options: BuildOptions = {}): Promise<void> {
    const backend = await this.usableBackend();
    await this.#alone(() => {
      this.#checkInactive('is already active');
      return this.#build(backend, options);
    });
  }

  async start(options: BuildOptions & { readonly build?: boolean } = {}): Promise<void> {
    const backend = await this.usableBackend();
    const { definition, pools } = this;
    await this.#alone(async () => {
      this.#checkInactive('is already active');
      await pools.exclusively(() => pools.checkFree(definition));
      if (options.build || options.overwrite || options.noOverwrite) await this.#build(backend, options);
      const started = (await backend.start?.(definition)) ?? definition;
      try {
        await backend.sizes(started);
        await pools.exclusively(() => {
          pools.checkFree(started);
          pools.live.put(started);
        });
      } catch (error) {
        await backend.stop?.(started);
        throw error;
      }
    });
  }

  /** virStoragePoolDestroy: nothing is lost but the pool's being active. */
  async stop(): Promise<void> {
    const backend = await this.usableBackend();
    await this.#alone(() => this.#stop(backend));
  }

  /** Looks at all volumes. A pool that cannot be read is stopped (virStoragePoolRefresh). Answers how many there are. */
  async refresh(): Promise<number> {
    const backend = await this.usableBackend();
    return this.#alone(async () => {
      this.#checkActive();
      try {
        await backend.refresh?.(this.definition);
        await backend.sizes(this.definition);
        return (await backend.volumes(this.definition, this.pools.report)).length;
      } catch (error) {
        await this.#stop(backend);
        throw error;
      }
    });
  }

  /** What the pool is made of, with all that is in it. */
  async delete(): Promise<void> {
    const backend = await this.usableBackend();
    await this.#alone(async () => {
      this.#checkInactive('is still active');
      if (backend.delete === undefined)
        throw new PoolError(
          'VIR_ERR_NO_SUPPORT',
          `pools of type '${this.definition.type}' cannot be deleted`,
        );
      await backend.delete(this.definition);
    });
  }

  async undefine(): Promise<void> {
    await this.#alone(() =>
      this.pools.exclusively(() => {
        this.#checkInactive('is still active');
        this.#checkPersistent();
        this.pools.persistent.remove(this.name);
      }),
    );
  }

  /** To be started with the host, or not. */
  async setAutostart(on: boolean): Promise<void> {
    await this.pools.exclusively(() => {
      this.#checkPersistent();
      this.pools.persistent.setAutostart(this.name, on);
    });
  }

  /** By name. */
  async listVolumes(): Promise<StorageVolume[]> {
    this.#checkActive();
    const volumes = await (await this.usableBackend()).volumes(this.definition, this.pools.report);
    return volumes.map((volume) => new StorageVolume(this, volume));
  }

  /** @throws PoolError (rejection) VIR_ERR_NO_STORAGE_VOL */
  async lookupVolume(name: string): Promise<StorageVolume> {
    this.#checkActive();
    const volume = await (await this.usableBackend()).volume(this.definition, name);
    if (volume !== undefined) return new StorageVolume(this, volume);
    throw new PoolError('VIR_ERR_NO_STORAGE_VOL', `no storage vol with matching name ${quoted(name)}`);
  }

  /** In a folder, only the file of that name is looked at. */
  async findVolume(by: 'path' | 'key', text: string): Promise<StorageVolume | undefined> {
    const backend = await this.usableBackend();
    const { definition } = this;
    const isFolder = backend.volumesAre === 'files';
    if (isFolder && dirname(text) !== definition.target.path) return undefined;
    const found = isFolder
      ? await backend.volume(definition, basename(text))
      : (await backend.volumes(definition, () => {})).find(({ key, target }) =>
          by === 'key' ? key === text : target.path === text,
        );
    return found && new StorageVolume(this, found);
  }

  /** virStorageVolCreateXML: all of the volume, or nothing. */
  async createVolume(xml: string, options: VolumeOptions = {}): Promise<StorageVolume> {
    this.#checkActive();
    const volume = readVolume(xml);
    const backend = await this.usableBackend();
    if (backend.createVolume === undefined) throw this.#unsupported('volume creation');
    await backend.createVolume(this.definition, volume, options);
    return this.lookupVolume(volume.name);
  }

  /**
   * virStorageVolCreateXMLFrom: with the contents of another one, whose size is the least. What that lies above is not needed by the
   * new one.
   */
  async createVolumeFrom(
    xml: string,
    source: StorageVolume,
    { reflink = false }: { readonly reflink?: boolean } = {},
  ): Promise<StorageVolume> {
    this.#checkActive();
    const { capacity, target } = source.definition;
    const { backing: _, ...wanted } = readVolume(xml);
    const volume = { ...wanted, capacity: Math.max(capacity, wanted.capacity) };
    const folders = (await this.pools.list({ active: true })).map((pool) => pool.definition.target.path);
    const inPools = (path: string) => folders.includes(dirname(path));
    const backend = await this.usableBackend();
    if (backend.createVolumeFrom === undefined) throw this.#unsupported('volume creation');
    const format = backend.volumesAre === 'devices' ? 'raw' : volume.format;
    await backend.createVolumeFrom(this.definition, volume, (path) => {
      const copy = { path, format, sizeBytes: volume.capacity };
      return reflink ? reflinkImage(target, copy) : copyImage(target, copy, inPools);
    });
    return this.lookupVolume(volume.name);
  }

  /** @throws PoolError (rejection) VIR_ERR_NO_SUPPORT */
  async deleteVolume(volume: StorageVolume): Promise<void> {
    const backend = await this.usableBackend();
    if (backend.deleteVolume === undefined) throw this.#unsupported('vol deletion');
    await backend.deleteVolume(this.definition, volume.definition);
  }

  #build(backend: PoolBackend, options: BuildOptions): Promise<void> {
    const { type } = this.definition;
    if (backend.build === undefined)
      throw new PoolError('VIR_ERR_NO_SUPPORT', `pools of type '${type}' are not built`);
    if (options.overwrite && options.noOverwrite)
      throw new PoolError('VIR_ERR_INVALID_ARG', 'to overwrite and not to overwrite exclude each other');
    return backend.build(this.definition, options);
  }

  async #stop(backend: PoolBackend): Promise<void> {
    this.#checkActive();
    await backend.stop?.(this.definition);
    await this.pools.exclusively(() => this.pools.live.remove(this.name));
  }

  /** @throws PoolError (rejection) VIR_ERR_ACCESS_DENIED */
  async usableBackend(): Promise<PoolBackend> {
    const { type } = this.definition;
    const backend = await backendOf(type);
    if (backend.rootFor === undefined || process.getuid!() === 0) return backend;
    throw new PoolError(
      'VIR_ERR_ACCESS_DENIED',
      `pools of type '${type}' are for root only: ${backend.rootFor}`,
      'run it as root',
    );
  }

  #alone<T>(act: () => T | Promise<T>): Promise<T> {
    return this.pools.exclusivelyPool(this.name, act);
  }

  #checkActive(): void {
    if (!this.isActive) throw this.#invalid('is not active');
  }

  #checkInactive(what: string): void {
    if (this.isActive) throw this.#invalid(what);
  }

  /** It may have been undefined meanwhile. */
  #checkPersistent(): void {
    const { live } = this.pools;
    if (this.isPersistent) return;
    if (live.get(this.name) !== undefined) throw this.#invalid('is transient');
    throw new PoolError('VIR_ERR_NO_STORAGE_POOL', `no storage pool with matching name ${quoted(this.name)}`);
  }

  #unsupported(what: string): PoolError {
    return new PoolError('VIR_ERR_NO_SUPPORT', `storage pool does not support ${what}`);
  }

  #invalid(what: string): PoolError {
    return new PoolError('VIR_ERR_OPERATION_INVALID', `storage pool ${quoted(this.name)} ${what}`);
  }
}
