/** The filter of multicast addresses that a guest may ask for: XEN_NETIF_EXTRA_TYPE_MCAST_ADD and DEL in io/netif.h. */
import { MAX_NET_MULTICAST } from '../../../base/limits.js';

const BROADCAST = 'ffffffffffff';

export class MulticastFilter {
  readonly #addresses = new Set<string>();

  /** @param isOn request-multicast-control: without it the list is kept, and every packet passes */
  constructor(private readonly isOn: boolean) {}

  /** False: there are too many. */
  add(address: Uint8Array): boolean {
    if (this.#addresses.size >= MAX_NET_MULTICAST) return false;
    this.#addresses.add(hex(address));
    return true;
  }

  delete(address: Uint8Array): void {
    this.#addresses.delete(hex(address));
  }

  /** Whether a frame goes to the guest. Broadcasts always do. */
  passes(frame: Uint8Array): boolean {
    if (!this.isOn || (frame[0]! & 1) === 0) return true;
    const destination = hex(frame.subarray(0, 6));
    return destination === BROADCAST || this.#addresses.has(destination);
  }
}

function hex(address: Uint8Array): string {
  return Buffer.from(address.buffer, address.byteOffset, 6).toString('hex');
}
