/** A front end connected to a disk: its rings and event channels, from connect to disconnect. */
import { XennerError } from '../../../base/errors.js';
import type { HostGrant } from '../../grants/host-grants.js';
import { BackRing } from '../back-ring.js';
import type { BackendChannel, BackendHost } from '../backend-host.js';
import type { BackendConnection } from '../xenbus.js';
import type { Disk } from './disk.js';
import type { FrontEndParameters, QueueParameters } from './front-end.js';
import { type DataGrants, mapEach, PersistentGrants } from './grant-cache.js';
import { protocolOf } from './protocol.js';
import { BlockQueue } from './queue.js';
import { releaseAll } from './vectors.js';

export interface ConnectionOptions {
  readonly host: BackendHost;
  readonly disk: Disk;
  readonly frontEnd: FrontEndParameters;
  /** The guest broke its ring: no queue goes on; it is for the owner to disconnect. Once. */
  readonly broken: (reason: string) => void;
  /** The image failed, and the guest has been told. */
  readonly failed: (error: unknown) => void;
}

/** What one queue holds of the guest. */
interface Held {
  readonly pages: readonly HostGrant[];
  readonly grants: DataGrants;
  readonly queue: BlockQueue;
  channel?: BackendChannel;
}

function ringPages(host: BackendHost, refs: readonly number[]): HostGrant[] {
  const pages: HostGrant[] = [];
  for (const ref of refs) {
    const page = host.access(ref, { write: true });
    if (typeof page === 'number') {
      releaseAll(pages);
      throw new XennerError('EFRONTEND', `grant ${ref} for the block front end's ring: GNTST ${page}`);
    }
    pages.push(page);
  }
  return pages;
}

export class BlockConnection implements BackendConnection {
  readonly #options: ConnectionOptions;
  readonly #held: Held[] = [];
  #closing: Promise<void> | undefined;

  private constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** @throws XennerError EFRONTEND, EPORT; the guest's pages and ports are given back then */
  static async open(options: ConnectionOptions): Promise<BlockConnection> {
    const connection = new BlockConnection(options);
    try {
      for (const queue of options.frontEnd.queues) await connection.#openQueue(queue);
    } catch (error) {
      await connection.disconnect();
      throw error;
    }
    // Requests may have been there before the event channel was.
    for (const { queue } of connection.#held) queue.service();
    return connection;
  }

  /**
   * Waits for what is under way, and answers it. The rings are whole then: all there is to know about them is in their pages, and
   * another connection, in another process even, goes on there.
   */
  disconnect(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const { channel } of this.#held) channel?.close();
    await this.#stop();
    // What a guest that was destroyed had granted is gone with its memory.
    if (this.#options.host.memory.size === 0) return;
    for (const { pages, grants } of this.#held) {
      grants.close();
      releaseAll(pages);
    }
  }

  async #openQueue({ ringRefs, eventChannel }: QueueParameters): Promise<void> {
    const { host, disk, frontEnd, failed } = this.#options;
    const pages = ringPages(host, ringRefs);
    const protocol = protocolOf(frontEnd.protocol);
    const mfns = pages.map(({ mfn }) => mfn);
    const grants = frontEnd.persistent ? new PersistentGrants(host) : mapEach(host);
    const queue = new BlockQueue({
      host,
      disk,
      ring: new BackRing(host.memory, mfns, protocol.sring),
      protocol,
      grants,
      notify: () => held.channel?.notify(),
      bePatient: (patient) => held.channel?.bePatient(patient),
      broken: (reason) => this.#break(reason),
      failed,
    });
    const held: Held = { pages, grants, queue };
    this.#held.push(held);
    held.channel = await host.bindPort(eventChannel, () => queue.service());
  }

  async #stop(): Promise<void> {
    await Promise.all(this.#held.map(({ queue }) => queue.stop()));
  }

  #break(reason: string): void {
    void this.#stop();
    this.#options.broken(reason);
  }
}
