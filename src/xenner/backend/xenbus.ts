/**
 * The back end of a device as a front end sees it: nodes and states in xenstore (public/io/xenbus.h), in the order of its life. What
 * it does is its driver's; the states are those that Linux's back ends go through (drivers/block/xen-blkback/xenbus.c).
 */
import { XennerError } from '../../base/errors.js';
import { createLogger, type Logger } from '../../base/log.js';
import { EINVAL } from '../abi/errno.js';
import * as xenbus from '../abi/xenbus.js';
import {
  addDevice,
  type Closable,
  type DeviceName,
  devicePaths,
  removeDevice,
  type XenstoreHandle,
  type XenstoreView,
} from '../xenstore/index.js';

/** By path below the device's directory: `queue-0/ring-ref`. */
export type DeviceNodeMap = ReadonlyMap<string, string>;

export interface BackendConnection {
  /** Resolves when nothing of the guest's is touched any more. Idempotent. */
  disconnect(): Promise<void>;
}

export interface BackendDriver {
  /** `vbd`, `vif`, ... */
  readonly type: string;
  /** Of the back end's directory, before the front end is let in. */
  features(): DeviceNodeMap;
  /** What the toolstack tells the front end, in its own directory. */
  frontendNodes(): DeviceNodeMap;
  /**
   * The front end has said all that it has to say, which may be anything.
   * @param failed the device has stopped by itself; disconnect() is called then
   * @throws XennerError (rejection): what is wrong with the nodes
   */
  connect(nodes: DeviceNodeMap, failed: (reason: string) => void): Promise<BackendConnection>;
}

export interface BackendDeviceOptions {
  readonly store: XenstoreHandle;
  /** Of the front end. */
  readonly domid: number;
  readonly devid: number;
  readonly driver: BackendDriver;
  /** The nodes are there already, with a guest that knows nothing of its having been saved: goes on where it was. */
  readonly restored?: boolean;
  readonly log?: Logger;
}

/** Of what a message of an error says. */
const MAX_ERROR_CHARACTERS = 512;

export class BackendDevice {
  /** Resolves when the device is gone: unplugged, closed or suspended. */
  readonly removed: Promise<void>;
  readonly #name: DeviceName;
  readonly #paths: { readonly frontend: string; readonly backend: string; readonly error: string };
  readonly #log: Logger;
  readonly #watch: Closable;
  #state: number;
  #connection: BackendConnection | undefined;
  /** Of the driver: what it says later of an earlier one does not count. */
  #attempt: object | undefined;
  /** Why the driver stopped, until that is dealt with. */
  #failure: string | undefined;
  /** Changes are dealt with one after the other; this one comes after what is under way. */
  #pending = false;
  #working: Promise<void> | undefined;
  #gone = false;
  #resolveRemoved: () => void = () => undefined;

  /** Lays out both ends, and waits for the front end. */
  constructor(private readonly options: BackendDeviceOptions) {
    const { store, domid, devid, driver } = options;
    this.#name = { domid, type: driver.type, devid };
    const { frontend, backend } = devicePaths(this.#name);
    const error = `/local/domain/0/error/backend/${driver.type}/${domid}/${devid}`;
    this.#paths = { frontend, backend, error };
    this.#log = options.log ?? createLogger();
    this.removed = new Promise((resolve) => {
      this.#resolveRemoved = resolve;
    });
    const was = options.restored ? store.readInt(`${backend}/state`, 0, 8) : undefined;
    if (was === undefined) this.#layOut();
    this.#state = was ?? xenbus.XenbusStateInitWait;
    this.#watch = store.watch(`${frontend}/state`, () => this.#changed());
  }

  /** The back end's XenbusState. */
  get state(): number {
    return this.#state;
  }

  /**
   * Asks the guest to let go of the device, and removes it when it has. A guest that does not within the time may do so later, and the
   * device goes then; close() does not wait.
   * @throws XennerError (rejection) EDEVICE_IN_USE
   */
  async unplug(timeoutMs: number): Promise<void> {
    if (this.#gone) return;
    this.#setState(xenbus.XenbusStateClosing, (view) => view.write(`${this.#paths.backend}/online`, 0));
    this.#changed();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const what = `${this.#title}: the guest has not let go of the device within ${timeoutMs} ms`;
      const error = new XennerError('EDEVICE_IN_USE', what, 'free it in the guest, or use force');
      timer = setTimeout(() => reject(error), timeoutMs);
    });
    await Promise.race([this.removed, late]).finally(() => clearTimeout(timer));
  }

  /** Takes the device away, whatever the guest does. Idempotent. */
  async close(): Promise<void> {
    if (!(await this.#stop())) return;
    this.options.store.transaction((view) => this.#removeNodes(view));
  }

  /** Lets go of the guest and leaves all nodes as they are: it is being saved, or it is gone and its nodes go with it. Idempotent. */
  async suspend(): Promise<void> {
    await this.#stop();
  }

  get #title(): string {
    const { domid, type, devid } = this.#name;
    return `${type}/${domid}/${devid}`;
  }

  #layOut(): void {
    const { store, domid, driver } = this.options;
    const features = Object.fromEntries(driver.features());
    const first = xenbus.XenbusStateInitialising;
    store.transaction((view) => {
      this.#removeNodes(view);
      addDevice(view, this.#name, {
        backend: { 'frontend-id': domid, online: 1, state: first, ...features },
        frontend: { 'backend-id': 0, state: first, ...Object.fromEntries(driver.frontendNodes()) },
      });
      view.write(`${this.#paths.backend}/state`, xenbus.XenbusStateInitWait);
    });
  }

  #removeNodes(view: XenstoreView): void {
    removeDevice(view, this.#name);
    view.rm(this.#paths.error);
  }

  #setState(state: number, also: (view: XenstoreView) => void = () => undefined): void {
    if (this.#gone) return;
    this.#state = state;
    this.#log.trace('device', 'back end', { device: this.#title, state });
    this.options.store.transaction((view) => {
      also(view);
      view.write(`${this.#paths.backend}/state`, state);
    });
  }

  #changed(): void {
    this.#pending = true;
    if (!this.#gone) this.#working ??= this.#work();
  }

  async #work(): Promise<void> {
    try {
      while (this.#pending && !this.#gone) {
        this.#pending = false;
        if (this.#failure !== undefined) await this.#fail(this.#failure);
        else await this.#follow(this.#frontState());
      }
    } finally {
      this.#working = undefined;
    }
  }

  /** What the guest wrote, or XenbusStateUnknown for what is no state. */
  #frontState(): number {
    const { store } = this.options;
    return store.readInt(`${this.#paths.frontend}/state`, 0, 8) ?? xenbus.XenbusStateUnknown;
  }

  async #follow(front: number): Promise<void> {
    this.#log.trace('device', 'front end', { device: this.#title, state: front });
    switch (front) {
      case xenbus.XenbusStateInitialising:
        return this.#await();
      case xenbus.XenbusStateInitialised:
      case xenbus.XenbusStateConnected:
        return this.#connect();
      case xenbus.XenbusStateClosing:
        // Its owner may refuse to close, and use it until then.
        if (this.#connection !== undefined) this.#setState(xenbus.XenbusStateClosing);
        return;
      case xenbus.XenbusStateClosed:
      case xenbus.XenbusStateUnknown:
        return this.#closed();
    }
  }

  get #isOnline(): boolean {
    return this.options.store.readInt(`${this.#paths.backend}/online`) !== 0;
  }

  /** A new front end: the first, or one after a restart, which need not have said good-bye. */
  async #await(): Promise<void> {
    if (!this.#isOnline) return this.#closed();
    if (this.#state === xenbus.XenbusStateInitWait && this.#connection === undefined) return;
    await this.#disconnect();
    this.options.store.rm(this.#paths.error);
    this.#setState(xenbus.XenbusStateInitWait);
  }

  async #connect(): Promise<void> {
    const { driver } = this.options;
    const ready = [xenbus.XenbusStateInitWait, xenbus.XenbusStateConnected].includes(this.#state);
    if (this.#connection !== undefined || !ready) return;
    const attempt = {};
    this.#attempt = attempt;
    const failed = (reason: string) => {
      if (this.#attempt !== attempt) return;
      this.#failure = reason;
      this.#changed();
    };
    const nodes = this.#frontNodes();
    this.#log.trace('device', 'connects', { device: this.#title, nodes: Object.fromEntries(nodes) });
    try {
      this.#connection = await driver.connect(nodes, failed);
    } catch (error) {
      return this.#fail(reasonOf(error));
    }
    // A guest that was restored need not be told again.
    if (this.#state !== xenbus.XenbusStateConnected) this.#setState(xenbus.XenbusStateConnected);
  }

  /** Everything in the front end's directory, as it is now. */
  #frontNodes(): DeviceNodeMap {
    const nodes = new Map<string, string>();
    const { frontend } = this.#paths;
    this.options.store.transaction((view) => {
      const collect = (below: string) => {
        for (const name of view.directory(`${frontend}${below}`) ?? []) {
          nodes.set(`${below}/${name}`.slice(1), view.read(`${frontend}${below}/${name}`) ?? '');
          collect(`${below}/${name}`);
        }
      };
      collect('');
    });
    return nodes;
  }

  async #closed(): Promise<void> {
    await this.#disconnect();
    if (!this.#isOnline) return this.#finish();
    if (this.#state !== xenbus.XenbusStateClosed) this.#setState(xenbus.XenbusStateClosed);
  }

  /** As xenbus_dev_fatal() of Linux. The front end may begin anew. */
  async #fail(reason: string): Promise<void> {
    this.#failure = undefined;
    await this.#disconnect();
    const text = `${EINVAL} ${reason}`.slice(0, MAX_ERROR_CHARACTERS);
    this.#log.trace('device', 'failed', { device: this.#title, reason });
    this.#log.warnOnce(`${this.#title} ${text}`, `${this.#title}: ${reason}`);
    this.#setState(xenbus.XenbusStateClosed, (view) => view.write(`${this.#paths.error}/error`, text));
  }

  async #disconnect(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#attempt = undefined;
    this.#failure = undefined;
    try {
      await connection?.disconnect();
    } catch (error) {
      this.#log.warn(`${this.#title}: ${reasonOf(error)}`);
    }
  }

  /** Unplugged. */
  #finish(): void {
    this.#setState(xenbus.XenbusStateClosed);
    this.options.store.transaction((view) => this.#removeNodes(view));
    this.#end();
  }

  /** What is under way comes to its end first. False: the device was gone before. */
  async #stop(): Promise<boolean> {
    const first = !this.#gone;
    this.#end();
    await this.#working;
    await this.#disconnect();
    return first;
  }

  #end(): void {
    this.#gone = true;
    this.#watch.close();
    this.#resolveRemoved();
  }
}

/** Of a failure of the guest's or the host's, which have codes. @throws what is a mistake of ours */
function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string') throw error;
  return message;
}
