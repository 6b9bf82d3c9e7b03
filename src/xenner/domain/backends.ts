/** A domain's back ends, on the main thread, during one start of the guest. */

import { MAX_CONSOLE_INPUT_BYTES } from '../../base/limits.js';
import { clockSample, createNotifier, GuestMemory, kick, type Notifier, openLine } from '../../kvm/index.js';
import type { BackendChannel, BackendHost } from '../backend/backend-host.js';
import { ConsoleBackend, type ConsoleSink } from '../backend/console.js';
import type { Device } from '../backend/device.js';
import type { EventInbox } from '../event-inbox.js';
import { EventLine } from '../event-line.js';
import { type HostGrant, HostGrants } from '../grants/host-grants.js';
import { PAGE } from '../monitor/frames.js';
import type { Json, Saved } from '../save/saved.js';
import {
  layoutDomain,
  removeDomain,
  type Xenstore,
  type XenstoreHandle,
  XenstoreRing,
} from '../xenstore/index.js';
import type { CompleteConfig } from './config.js';
import { Devices } from './devices.js';
import type { ReadyMessage } from './messages.js';
import type { Order } from './orders.js';
import { type VcpuUsage, vcpuUsage } from './vcpu-usage.js';
import { WrittenFrames } from './written-frames.js';

/** What the back ends need of their domain. */
export interface BackendsDomain {
  readonly config: CompleteConfig;
  readonly inbox: EventInbox;
  readonly xenstore: Xenstore;
  readonly console: ConsoleSink;
  /** Those that it has now. */
  readonly devices: ReadonlySet<Device>;
  /** Has the vCPU thread obey. */
  order(order: Order): Promise<void>;
}

export class Backends implements BackendHost {
  readonly domid: number;
  readonly memory: GuestMemory;
  readonly toolstack: XenstoreHandle;
  readonly store: XenstoreRing;
  readonly console: ConsoleBackend;
  readonly devices: Devices;
  readonly #grants: HostGrants;
  readonly #written: WrittenFrames;
  readonly #line: EventLine | undefined;
  readonly #channels = new Set<Notifier>();
  /** CLOCK_MONOTONIC when its system time was 0, within milliseconds. */
  readonly #startNs: number;

  /**
   * @param saved what freeze() gave
   * @throws XennerError ESAVE_DAMAGED
   */
  constructor(
    private readonly domain: BackendsDomain,
    private readonly ready: ReadyMessage,
    saved: Saved | undefined,
  ) {
    const { domid, line, memoryId, nrPages, pageInfo, grantFrames } = ready;
    const { storeRing, storePort, consoleRing, consolePort } = ready;
    this.domid = domid;
    this.#startNs = Number(clockSample().monotonicNs) - ready.systemNs;
    this.toolstack = domain.xenstore.client();
    this.memory = GuestMemory.attach(memoryId);
    const { memory } = this;
    this.#line = line === undefined ? undefined : new EventLine(memory, line.addresses, openLine(line.id));
    this.#written = new WrittenFrames(ready.codeMarks, (mfns) => domain.order({ kind: 'written', mfns }));
    this.#grants = new HostGrants({ memory, grantFrames, nrPages, pageInfo });
    this.console = new ConsoleBackend(memory, consoleRing, domain.console, () => this.#raise(consolePort));
    this.devices = new Devices(this, this.toolstack, domain.xenstore.log);
    const raise = () => this.#raise(storePort);
    const ring = { domid, memory, ring: storeRing, raise };
    if (saved === undefined) {
      this.#layout();
      this.#addDevices(false);
      this.store = new XenstoreRing(domain.xenstore, ring);
    } else {
      this.store = new XenstoreRing(domain.xenstore, { ...ring, saved: saved.get('storeRing') });
      this.#addDevices(true);
      this.console.input(Buffer.from(saved.get('consoleInput').bytes(MAX_CONSOLE_INPUT_BYTES)));
    }
  }

  /** Of each vCPU. */
  vcpuUsage(): readonly VcpuUsage[] {
    return vcpuUsage(this.memory, this.ready.monitor, this.domain.config.vcpus, this.#startNs);
  }

  /** The guest may have notified before this thread was ready. */
  start(): void {
    this.store.service();
    this.console.service();
  }

  /** Touches nothing of the guest's until thaw(). @returns what there is to save */
  async freeze(): Promise<Json> {
    this.store.freeze();
    await this.devices.suspend();
    const consoleInput = Buffer.from(this.console.freeze()).toString('base64');
    return { consoleInput, storeRing: this.store.save(), xenstore: this.domain.xenstore.save() };
  }

  thaw(): void {
    this.#addDevices(true);
    this.store.thaw();
    this.console.thaw();
  }

  /** The guest is gone: what it wrote last. */
  flush(): void {
    this.console.thaw();
    this.console.flush();
  }

  access(gref: number, options: { readonly write: boolean }): HostGrant | number {
    return this.#grants.access(gref, options);
  }

  wrote(mfn: number): void {
    this.#written.add(mfn);
  }

  settled(): Promise<void> | undefined {
    return this.#written.settled();
  }

  async bindPort(port: number, onEvent: () => void): Promise<BackendChannel> {
    let open = true;
    const notifier = createNotifier(() => {
      if (open) onEvent();
    });
    const { id } = notifier;
    this.#channels.add(notifier);
    const close = () => {
      open = false;
      this.#channels.delete(notifier);
      notifier.close();
    };
    try {
      await this.domain.order({ kind: 'bind', port, notifier: id });
    } catch (error) {
      close();
      throw error;
    }
    this.domain.inbox.setPatient(port, false);
    return {
      notify: () => open && this.#raise(port),
      bePatient: (patient) => open && this.domain.inbox.setPatient(port, patient),
      close: () => {
        if (!open) return;
        close();
        // A domain that has ended has no ports.
        this.domain.order({ kind: 'unbind', notifier: id }).catch(() => {});
      },
    };
  }

  /** The guest is gone. Resolves when nothing of its memory is touched any more. */
  async close(): Promise<void> {
    await this.devices.suspend();
    this.store.close();
    removeDomain(this.toolstack, { domid: this.domid, uuid: this.domain.config.uuid });
    this.toolstack.close();
    for (const notifier of this.#channels) notifier.close();
    this.#channels.clear();
    this.#line?.close();
    this.memory.close();
  }

  #addDevices(restored: boolean): void {
    for (const device of this.domain.devices) this.devices.add(device, restored);
  }

  #layout(): void {
    const { name, uuid, memoryMiB, vcpus, kernel, ramdisk, cmdline } = this.domain.config;
    const { domid, storeRing, storePort, consoleRing, consolePort } = this.ready;
    layoutDomain(this.toolstack, {
      ...{ domid, name, uuid, vcpus },
      memoryKiB: memoryMiB * 1024,
      ...{ kernel, cmdline, ...(ramdisk !== undefined && { ramdisk }) },
      ...{ storeRingRef: storeRing / PAGE, storePort, consoleRingRef: consoleRing / PAGE, consolePort },
    });
  }

  #raise(port: number): void {
    if (this.#line !== undefined) this.#line.raise(port);
    else if (this.domain.inbox.post(port)) kick(this.ready.engineId);
  }
}
