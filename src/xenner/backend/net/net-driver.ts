/** A network device as xenbus sees it: what stands in its folders of xenstore, and what to do when the guest's driver is there. */
import { XennerError } from '../../../base/errors.js';
import { MAX_NET_QUEUES } from '../../../base/limits.js';
import type { BackendHost } from '../backend-host.js';
import type { BackendConnection, BackendDriver } from '../xenbus.js';
import { newCounters } from './counters.js';
import { Credit, type Rate } from './credit.js';
import { parseFrontEnd } from './front-nodes.js';
import type { NetPort } from './net-port.js';
import { Vif, type VifCounters } from './vif.js';

export interface NetDeviceOptions {
  /** `00:16:3e:...` */
  readonly mac: string;
  /** N of device/vif/N. */
  readonly handle: number;
  /** Largest IP packet that the guest is told of, in bytes; default: it takes 1500. */
  readonly mtu?: number | undefined;
  /** Of what the guest sends. */
  readonly rate?: Rate | undefined;
  /** For programs that look into xenstore. */
  readonly bridge?: string | undefined;
  readonly vifname?: string | undefined;
}

export class NetDriver implements BackendDriver {
  readonly type = 'vif';
  /** From the guest's point of view; they go on when it connects again. */
  readonly counters: VifCounters = { tx: newCounters(), rx: newCounters() };
  #vif: Vif | undefined;
  #isLinkUp = true;

  constructor(
    private readonly host: BackendHost,
    private readonly port: NetPort,
    private readonly options: NetDeviceOptions,
  ) {}

  /** Of the back end's folder: what Linux's netback and libxl write there. No feature-ctrl-ring: hashes are for hardware. */
  features(): ReadonlyMap<string, string> {
    const { mac, handle, rate, bridge, vifname } = this.options;
    const nodes = new Map([
      ['mac', mac],
      ['handle', `${handle}`],
      ['hotplug-status', 'connected'],
      ['feature-sg', '1'],
      ['feature-gso-tcpv4', '1'],
      ['feature-gso-tcpv6', '1'],
      ['feature-ipv6-csum-offload', '1'],
      ['feature-rx-copy', '1'],
      ['feature-rx-flip', '0'],
      ['feature-multicast-control', '1'],
      ['feature-split-event-channels', '1'],
      ['multi-queue-max-queues', `${MAX_NET_QUEUES}`],
      ['carrier', this.#isLinkUp ? '1' : '0'],
    ]);
    if (rate !== undefined) nodes.set('rate', `${rate.bytes},${rate.intervalUs}`);
    if (bridge !== undefined) nodes.set('bridge', bridge);
    if (vifname !== undefined) nodes.set('vifname', vifname);
    return nodes;
  }

  /** Of the guest's folder. */
  frontendNodes(): ReadonlyMap<string, string> {
    const { mac, handle, mtu } = this.options;
    const nodes = new Map([
      ['mac', mac],
      ['handle', `${handle}`],
    ]);
    if (mtu !== undefined) nodes.set('mtu', `${mtu}`);
    return nodes;
  }

  /**
   * The guest's driver is ready.
   * @param nodes of its folder, by path below it: `queue-0/tx-ring-ref`
   * @param failed the device has stopped by itself, in the guest's folder's error node's words; disconnect() is still to be called
   * @throws XennerError (rejection) EFRONTEND, EPORT: what the guest wrote cannot be served
   */
  async connect(
    nodes: ReadonlyMap<string, string>,
    failed: (reason: string) => void,
  ): Promise<BackendConnection> {
    if (this.#vif !== undefined) throw new XennerError('EBUSY', `vif ${this.options.handle} is connected`);
    const { rate } = this.options;
    const vif = await Vif.connect({
      host: this.host,
      port: this.port,
      front: parseFrontEnd(nodes),
      credit: rate && new Credit(rate, () => performance.now()),
      counters: this.counters,
      failed,
    });
    vif.setLink(this.#isLinkUp);
    this.#vif = vif;
    return {
      disconnect: async () => {
        vif.close();
        if (this.#vif === vif) this.#vif = undefined;
      },
    };
  }

  /** As if the cable were pulled out or put in. The back end's node `carrier` is to be written anew. */
  setLink(isUp: boolean): void {
    this.#isLinkUp = isUp;
    this.#vif?.setLink(isUp);
  }
}
