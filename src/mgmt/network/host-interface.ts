/** One network interface of the host: libvirt's virInterface* calls. */
import { IFF_UP } from '../../kvm/index.js';
import { writeInterface } from './interface-xml-writer.js';
import type { LiveNetwork } from './live.js';

/** As it was when it was looked up. */
export class HostInterface {
  constructor(
    readonly name: string,
    private readonly live: LiveNetwork,
  ) {}

  /** It is there, and up; whether it has a carrier is told by its document's link. */
  get isActive(): boolean {
    return ((this.live.link(this.name)?.flags ?? 0) & IFF_UP) !== 0;
  }

  get mac(): string | undefined {
    return this.live.link(this.name)?.address;
  }

  get xml(): string {
    return writeInterface(this.live.define(this.live.link(this.name)!));
  }
}
