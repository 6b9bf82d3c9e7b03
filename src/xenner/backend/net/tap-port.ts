/** A port on the host's own network: a tap, mostly one of a bridge, or a macvtap. The kernel does what packets lack. */

import { XennerError } from '../../../base/errors.js';
import {
  changeLink,
  IFF_UP,
  linkIndex,
  type NetTap,
  openTap,
  readLinks,
  TUN_F_CSUM,
  TUN_F_TSO4,
  TUN_F_TSO6,
} from '../../../kvm/index.js';
import type { NetPort, NetReceiver, Offloads, Packet } from './net-port.js';
import { readVnetHeader, VNET_HEADER_BYTES, writeVnetHeader } from './vnet-header.js';

/** Of one turn: sixteen of the largest packets, or more that are smaller. */
const RECEIVE_BYTES = 16 * 65_600;
const RECEIVE_PACKETS = 64;
/** The kernel's queue has 1000 packets, unless somebody has changed that. */
const MAX_STALE_BATCHES = 16;
/** What xl gives a guest's port of a bridge (vif-bridge): the highest address, so that the bridge never takes it for its own. */
const PORT_MAC = 'fe:ff:ff:ff:ff:ff';
const ALL: Offloads = { checksum4: true, checksum6: true, tcpv4: true, tcpv6: true };

export interface TapOptions {
  /** `vif1.0`, or xl's vifname; at most 15 bytes. */
  readonly name: string;
  /** Becomes a port of it, with its MTU; without one, the host's own end is left to the user. */
  readonly bridge?: string | undefined;
  readonly mtu?: number | undefined;
}

/** A new interface, up, which is gone with the port. @throws XennerError ETAP, ELINK */
export function openTapPort({ name, bridge, mtu }: TapOptions): NetPort {
  const port = new TapPort('/dev/net/tun', name);
  try {
    const master = bridge === undefined ? undefined : linkIndex(bridge);
    if (bridge !== undefined && master === undefined)
      throw new XennerError(
        'ELINK',
        `there is no bridge ${bridge}`,
        `make it: ip link add ${bridge} type bridge`,
      );
    changeLink(name, {
      ...(mtu !== undefined && { mtu }),
      ...(master !== undefined && { master, quiet: true, address: PORT_MAC }),
      up: true,
    });
  } catch (error) {
    port.close();
    throw error;
  }
  return port;
}

/**
 * A macvtap that exists, by its interface's name, and stays when the port is closed.
 * @param mac the guest's, which the interface gets: for any other nothing would come. Where it has it and is up, that takes no
 * privileges
 * @throws XennerError ETAP, ELINK
 */
export function openMacvtapPort(name: string, mac?: string): NetPort {
  const index = linkIndex(name);
  if (index === undefined)
    throw new XennerError(
      'ELINK',
      `there is no macvtap ${name}`,
      `make it: ip link add link CARD name ${name} type macvtap mode bridge`,
    );
  const port = new TapPort(`/dev/tap${index}`, name);
  try {
    const now = readLinks().find((link) => link.index === index);
    if (mac !== undefined && (now?.address !== mac || (now.flags & IFF_UP) === 0))
      changeLink(name, { address: mac, up: true });
  } catch (error) {
    port.close();
    throw error;
  }
  return port;
}

class TapPort implements NetPort {
  readonly name: string;
  readonly offloads = ALL;
  readonly #tap: NetTap;
  readonly #header = new Uint8Array(VNET_HEADER_BYTES);
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  readonly #lengths = new Uint32Array(RECEIVE_PACKETS);
  #receiver: NetReceiver | undefined;
  /** Brought, and not taken yet. */
  #kept: readonly Packet[] = [];
  #turn: NodeJS.Immediate | undefined;
  /** The one that the tap had no room for. */
  #unsent: Uint8Array | undefined;
  #isClosed = false;

  constructor(path: string, name: string) {
    this.name = `tap ${name}`;
    this.#tap = openTap(path, name, () => this.#ready());
    this.#tap.setCarrier(false);
  }

  attach(receiver: NetReceiver): void {
    if (this.#isClosed) throw new XennerError('ETAP', `${this.name} is gone`);
    this.#receiver = receiver;
    const { checksum4, checksum6, tcpv4, tcpv6 } = receiver.offloads;
    // Linux knows no checksums of one version only, and no segments without checksums.
    const checksums = checksum4 || checksum6 ? TUN_F_CSUM : 0;
    const segments = (tcpv4 && checksum4 ? TUN_F_TSO4 : 0) | (tcpv6 && checksum6 ? TUN_F_TSO6 : 0);
    this.#tap.setOffload(checksums | segments);
    // What has come while nobody listened is old, and may be unfinished in other ways.
    for (let i = 0; i < MAX_STALE_BATCHES && this.#tap.receive(this.#buffer, this.#lengths) > 0; i++);
    this.#tap.setCarrier(true);
    this.#listen();
  }

  detach(): void {
    this.#receiver = undefined;
    this.#kept = [];
    clearImmediate(this.#turn);
    this.#turn = undefined;
    if (this.#isClosed) return;
    this.#tap.setCarrier(false);
    this.#listen();
  }

  resume(): void {
    this.#bring();
  }

  send(packet: Packet): boolean {
    writeVnetHeader(this.#header, packet);
    const pieces = [this.#header, ...packet.pieces];
    // What comes although there is no room is lost, as in any full queue.
    if (this.#unsent !== undefined || this.#trySend(pieces)) return this.#unsent === undefined;
    this.#unsent = Buffer.concat(pieces);
    this.#listen();
    return false;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.detach();
    this.#tap.close();
  }

  /** False: there is no room. A packet that the kernel does not like is lost. */
  #trySend(pieces: readonly Uint8Array[]): boolean {
    try {
      return this.#tap.send(pieces);
    } catch {
      return true;
    }
  }

  /** Packets are waited for only when those before them are taken. */
  #listen(): void {
    const packets = this.#receiver !== undefined && this.#kept.length === 0 && this.#turn === undefined;
    this.#tap.watch({ packets, room: this.#unsent !== undefined });
  }

  #ready(): void {
    if (this.#isClosed) return;
    if (this.#unsent !== undefined && this.#trySend([this.#unsent])) {
      this.#unsent = undefined;
      this.#receiver?.drained();
    }
    if (this.#kept.length === 0 && this.#turn === undefined) this.#bring();
    else this.#listen();
  }

  /** Brings what was kept, and then one batch; if that was full, another one after others had their turn. */
  #bring(): void {
    if (this.#receiver === undefined || this.#isClosed) return;
    this.#kept = this.#kept.slice(this.#receiver.receive(this.#kept));
    if (this.#kept.length > 0 || this.#receiver === undefined) return;
    const count = this.#receive();
    if (count > 0) {
      const packets = this.#packets(count);
      this.#kept = packets.slice(this.#receiver.receive(packets));
      if (this.#receiver === undefined || this.#kept.length > 0) return;
      this.#turn ??= setImmediate(() => {
        this.#turn = undefined;
        this.#bring();
      });
      return;
    }
    if (!this.#isClosed) this.#listen();
  }

  #receive(): number {
    try {
      return this.#tap.receive(this.#buffer, this.#lengths);
    } catch (error) {
      const receiver = this.#receiver;
      void this.close();
      receiver?.failed(error as Error);
      return 0;
    }
  }

  #packets(count: number): Packet[] {
    const packets: Packet[] = [];
    let at = 0;
    for (let i = 0; i < count; i++) {
      const bytes = this.#buffer.subarray(at, at + this.#lengths[i]!);
      at += (bytes.length + 7) & ~7;
      if (bytes.length <= VNET_HEADER_BYTES) continue;
      const frame = bytes.subarray(VNET_HEADER_BYTES);
      packets.push({ pieces: [frame], length: frame.length, ...readVnetHeader(bytes, frame) });
    }
    return packets;
  }
}
