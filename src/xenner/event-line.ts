/**
 * Ports raised by the thread of a back end itself, where the guest's locked instructions are atomic against other threads: it
 * sets the bits, and interrupts the vCPU in the guest. Everywhere else there is an EventInbox.
 */
import { MAX_VCPUS } from '../base/limits.js';
import { type Gpa, type GuestMemory, gpa, type Line } from '../kvm/index.js';
import { vcpu_info } from './abi/xen.js';
import { EventBits } from './event-bits.js';
import {
  Area,
  BLOCK_VCPU_AREA,
  blockOffset,
  DIRECT_VA,
  KICK_VECTOR,
  PORT_BELL,
  type VcpuArea,
  vcpu_area,
} from './monitor/vcpu-area.js';

/** Where in guest memory it all is. */
export interface EventAddresses {
  readonly sharedInfo: Gpa;
  readonly ports: Gpa;
  readonly monitor: Gpa;
  readonly nrVcpus: number;
}

const ALIGN = 8;

export class EventLine {
  readonly #bits: EventBits;
  readonly #areas: readonly VcpuArea[];

  constructor(
    private readonly memory: GuestMemory,
    private readonly addresses: EventAddresses,
    private readonly line: Line,
  ) {
    const { sharedInfo, monitor, nrVcpus } = addresses;
    this.#areas = Array.from(
      { length: nrVcpus },
      (_, id) => new Area(memory, gpa(monitor + blockOffset(id) + BLOCK_VCPU_AREA), vcpu_area),
    );
    const vcpus = this.#areas.map((area, id) => ({
      id,
      get polling() {
        return area.low('polling') !== 0;
      },
    }));
    this.#bits = new EventBits({ memory, sharedInfo, vcpus, wake: (id) => line.inject(id, KICK_VECTOR) });
  }

  /** Nothing happens on a port that is no back end's any more. */
  raise(port: number): void {
    const kind = this.memory.readU8(gpa(this.addresses.ports + port));
    const id = kind & (MAX_VCPUS - 1);
    const area = this.#areas[id];
    if ((kind & PORT_BELL) === 0 || area === undefined) return;
    // Where the monitor finds it; the guest can write anything there.
    const vcpuInfo = Number(area.get('vcpu_info') - DIRECT_VA);
    if (vcpuInfo % ALIGN === 0 && this.memory.contains(vcpuInfo, vcpu_info.size))
      this.#bits.setPending(port, { id, vcpuInfo: gpa(vcpuInfo) });
  }

  close(): void {
    this.line.close();
  }
}
