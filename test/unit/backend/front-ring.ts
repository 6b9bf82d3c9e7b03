/** The front end's side of a shared ring, by the macros of io/ring.h: what tests of back ends play. */
import type { CStruct } from '../../../src/base/layout.js';
import { type GuestMemory, gpa } from '../../../src/kvm/guest-memory.js';

const PAGE = 4096;

export class FrontRing {
  reqProdPvt = 0;
  rspCons = 0;
  readonly size: number;

  /** XEN_FRONT_RING_INIT over neighbouring pages. */
  constructor(
    readonly memory: GuestMemory,
    readonly firstMfn: number,
    readonly layout: CStruct<object>,
    pages = 1,
  ) {
    this.size = 2 ** Math.floor(Math.log2((pages * PAGE - 64) / (layout.size - 64)));
    memory.fill(gpa(firstMfn * PAGE), pages * PAGE, 0);
    this.set('req_event', 1);
    this.set('rsp_event', 1);
  }

  get(member: string): number {
    return this.memory.atomicLoad32(gpa(this.firstMfn * PAGE + this.layout.offsetof(member)));
  }
  set(member: string, value: number): void {
    this.memory.atomicStore32(gpa(this.firstMfn * PAGE + this.layout.offsetof(member)), value >>> 0);
  }
  slot(index: number): ReturnType<typeof gpa> {
    return gpa(this.firstMfn * PAGE + 64 + (index & (this.size - 1)) * (this.layout.size - 64));
  }

  /** Both indices at a place, as after so much traffic: the back end attaches there. */
  startAt(index: number): void {
    this.reqProdPvt = this.rspCons = index >>> 0;
    this.set('req_prod', index);
    this.set('rsp_prod', index);
    this.set('req_event', index + 1);
    this.set('rsp_event', index + 1);
  }

  /** Puts requests on the ring, unseen until push(). */
  put(...requests: Uint8Array[]): void {
    for (const request of requests) {
      this.memory.copyIn(this.slot(this.reqProdPvt), request);
      this.reqProdPvt = (this.reqProdPvt + 1) >>> 0;
    }
  }

  /** RING_PUSH_REQUESTS_AND_CHECK_NOTIFY. */
  push(...requests: Uint8Array[]): boolean {
    this.put(...requests);
    const old = this.get('req_prod');
    this.set('req_prod', this.reqProdPvt);
    return (this.reqProdPvt - this.get('req_event')) >>> 0 < (this.reqProdPvt - old) >>> 0;
  }

  /** All responses there are, as bytes of a slot each; then asks for an event for the next one. */
  take(): Uint8Array[] {
    const responses: Uint8Array[] = [];
    const end = this.get('rsp_prod');
    if ((end - this.rspCons) >>> 0 > this.size) throw new Error(`rsp_prod ${end}, rsp_cons ${this.rspCons}`);
    for (; this.rspCons !== end; this.rspCons = (this.rspCons + 1) >>> 0)
      responses.push(this.memory.copyOut(this.slot(this.rspCons), this.layout.size - 64));
    this.set('rsp_event', this.rspCons + 1);
    return responses;
  }
}
