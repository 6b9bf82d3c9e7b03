/**
 * The two-level ABI (xen/common/event_2l.c): a port is a bit in shared_info; each bit of a vCPU's evtchn_pending_sel
 * stands for 64 ports. All of it is memory that the guest writes: nothing here is remembered, and every change is one
 * 32-bit atomic, which is what a little-endian bit operation on Xen's 64-bit words comes to.
 */
import { type Gpa, type GuestMemory, gpa } from '../kvm/guest-memory.js';
import { shared_info, vcpu_info } from './abi/xen.js';

const EVTCHN_PENDING = shared_info.offsetof('evtchn_pending');
const EVTCHN_MASK = shared_info.offsetof('evtchn_mask');
const EVTCHN_PENDING_SEL = vcpu_info.offsetof('evtchn_pending_sel');
const EVTCHN_UPCALL_MASK = vcpu_info.offsetof('evtchn_upcall_mask');
const EVTCHN_UPCALL_PENDING = vcpu_info.offsetof('evtchn_upcall_pending');
/** Ports of one selector bit: BITS_PER_EVTCHN_WORD of a 64-bit guest. */
const WORD_SHIFT = 6;

/** What of a vCPU the event channels need. */
export interface EventVcpu {
  readonly id: number;
  /** 8-aligned. */
  readonly vcpuInfo: Gpa;
}

/** What may wait in SCHEDOP_poll, so that an event which is masked may be what it waits for. */
export interface Poller {
  readonly id: number;
  readonly polling: boolean;
}

export interface EventHost {
  readonly memory: GuestMemory;
  readonly sharedInfo: Gpa;
  readonly vcpus: readonly Poller[];
  /** A vCPU has something to look at: an upcall, or a port that it may be polling. Called for the running one too. */
  wake(vcpuId: number): void;
}

export class EventBits {
  constructor(private readonly host: EventHost) {}

  /** evtchn_2l_set_pending */
  setPending(port: number, vcpu: EventVcpu): void {
    if (this.#testAndSet(this.host.sharedInfo + EVTCHN_PENDING, port)) return;
    if (!this.#test(this.host.sharedInfo + EVTCHN_MASK, port)) this.#select(port, vcpu);
    for (const poller of this.host.vcpus) {
      if (poller.polling) this.host.wake(poller.id);
    }
  }

  clearPending(port: number): void {
    this.host.memory.atomicAnd32(wordOf(this.host.sharedInfo + EVTCHN_PENDING, port), ~bitOf(port));
  }

  /** evtchn_2l_unmask: clears the mask before it looks at the pending bit, so that no event falls between. */
  unmask(port: number, vcpu: EventVcpu): void {
    const bit = bitOf(port);
    const before = this.host.memory.atomicAnd32(wordOf(this.host.sharedInfo + EVTCHN_MASK, port), ~bit);
    if ((before & bit) !== 0 && this.isPending(port)) this.#select(port, vcpu);
  }

  isPending(port: number): boolean {
    return this.#test(this.host.sharedInfo + EVTCHN_PENDING, port);
  }

  isUpcallPending(vcpu: EventVcpu): boolean {
    return this.host.memory.readU8(gpa(vcpu.vcpuInfo + EVTCHN_UPCALL_PENDING)) !== 0;
  }

  /** local_events_need_delivery */
  isUpcallDeliverable(vcpu: EventVcpu): boolean {
    return (
      this.isUpcallPending(vcpu) && this.host.memory.readU8(gpa(vcpu.vcpuInfo + EVTCHN_UPCALL_MASK)) === 0
    );
  }

  /** Marks the port's word for the vCPU, and vcpu_mark_events_pending unless it was marked. */
  #select(port: number, vcpu: EventVcpu): void {
    if (this.#testAndSet(vcpu.vcpuInfo + EVTCHN_PENDING_SEL, port >>> WORD_SHIFT)) return;
    if (!this.#testAndSet(vcpu.vcpuInfo + EVTCHN_UPCALL_PENDING, 0)) this.host.wake(vcpu.id);
  }

  #test(bitmap: number, index: number): boolean {
    return (this.host.memory.atomicLoad32(wordOf(bitmap, index)) & bitOf(index)) !== 0;
  }

  /** Returns what the bit was. */
  #testAndSet(bitmap: number, index: number): boolean {
    const bit = bitOf(index);
    return (this.host.memory.atomicOr32(wordOf(bitmap, index), bit) & bit) !== 0;
  }
}

function wordOf(bitmap: number, index: number): Gpa {
  return gpa(bitmap + (index >>> 5) * 4);
}

function bitOf(index: number): number {
  return 1 << (index & 31);
}
