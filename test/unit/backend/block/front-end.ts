/** A guest's block front end on real guest memory: rings, grants and requests, as tests of the back end need them. */
import { gpa } from '../../../../src/kvm/guest-memory.js';
import * as native from '../../../../src/xenner/abi/blkif.js';
import * as i386 from '../../../../src/xenner/abi/blkif-x86-32.js';
import { GTF_permit_access, GTF_readonly } from '../../../../src/xenner/abi/grant-table.js';
import type { BackendHost } from '../../../../src/xenner/backend/backend-host.js';
import { HostGrants } from '../../../../src/xenner/grants/host-grants.js';
import { Guest } from '../../hypercall/grant-guest.js';
import { DOMID, NR_PAGES, PAGE_INFO } from '../../hypercall/harness.js';
import { FrontRing } from '../front-ring.js';

const PAGE = 4096;
const FIRST_PORT = 9;
const FIRST_RING_MFN = 300;
const FIRST_RING_REF = 100;
/** Frames of data and of indirect pages, and the references that grant them. */
export const DATA_MFN = 512;
export const DATA_REF = 200;
export const NR_DATA = 400;

export const LAYOUTS = {
  'x86_64-abi': {
    sring: native.blkif_sring,
    request: native.blkif_request,
    discard: native.blkif_request_discard,
    indirect: native.blkif_request_indirect,
    response: native.blkif_response,
  },
  'x86_32-abi': {
    sring: i386.blkif_x86_32_sring,
    request: i386.blkif_x86_32_request,
    discard: i386.blkif_x86_32_request_discard,
    indirect: i386.blkif_x86_32_request_indirect,
    response: i386.blkif_x86_32_response,
  },
};
export type ProtocolName = keyof typeof LAYOUTS;

export interface Answer {
  id: bigint;
  operation: number;
  status: number;
}

export interface Seg {
  gref: number;
  first_sect: number;
  last_sect: number;
}

/** A whole page of data, the n-th. */
export const page = (n: number): Seg => part(n, 0, 7);
export const part = (n: number, first_sect: number, last_sect: number): Seg => ({
  gref: DATA_REF + n,
  first_sect,
  last_sect,
});
export const pages = (count: number, from = 0): Seg[] =>
  Array.from({ length: count }, (_, i) => page(from + i));

export interface FrontEndOptions {
  protocol?: ProtocolName;
  order?: number;
  queues?: number;
  persistent?: boolean;
}

/** The guest, and what its back ends have of it. */
export class BlockFrontEnd {
  readonly guest = new Guest();
  readonly host: BackendHost;
  readonly rings: FrontRing[];
  readonly layouts: (typeof LAYOUTS)[ProtocolName];
  readonly grants: HostGrants;
  /** Frames that the back end told of, and what it is to wait for before the guest hears of them. */
  readonly wrote: number[] = [];
  settled: Promise<void> | undefined;
  /** What the back end said of itself. */
  readonly patience: boolean[] = [];
  /** How often the guest was interrupted, in all. */
  events = 0;
  readonly #onEvent = new Map<number, () => void>();
  readonly #answers: Answer[] = [];
  #wake: () => void = () => {};
  #id = 0n;

  constructor(private readonly options: FrontEndOptions = {}) {
    const { protocol = 'x86_64-abi', queues = 1 } = options;
    const { memory } = this.guest;
    this.layouts = LAYOUTS[protocol];
    this.grants = new HostGrants({
      memory,
      grantFrames: this.guest.domain.grantFrames,
      nrPages: NR_PAGES,
      pageInfo: PAGE_INFO,
    });
    this.host = {
      domid: DOMID,
      memory,
      access: (gref, how) => this.grants.access(gref, how),
      wrote: (mfn) => this.wrote.push(mfn),
      settled: () => this.settled,
      bindPort: async (port, onEvent) => {
        if (port < FIRST_PORT || port >= FIRST_PORT + queues) throw new Error(`no port ${port}`);
        this.#onEvent.set(port, onEvent);
        return {
          notify: () => this.#interrupt(),
          bePatient: (patient) => this.patience.push(patient),
          close: () => this.#onEvent.delete(port),
        };
      },
    };
    this.rings = Array.from({ length: queues }, (_, queue) => this.#makeRing(queue));
    for (let i = 0; i < NR_DATA; i++) this.guest.grant(DATA_REF + i, DATA_MFN + i, GTF_permit_access, 0);
  }

  get nrPages(): number {
    return 2 ** (this.options.order ?? 0);
  }

  /** What the front end writes into xenstore. */
  nodes(changes: Record<string, string> = {}): Map<string, string> {
    const { protocol, order, persistent } = this.options;
    const nodes: Record<string, string> = {};
    if (protocol !== undefined) nodes.protocol = protocol;
    if (order !== undefined) nodes['ring-page-order'] = `${order}`;
    if (persistent !== undefined) nodes['feature-persistent'] = `${Number(persistent)}`;
    if (this.rings.length > 1) nodes['multi-queue-num-queues'] = `${this.rings.length}`;
    for (let queue = 0; queue < this.rings.length; queue++) {
      const prefix = this.rings.length > 1 ? `queue-${queue}/` : '';
      for (let i = 0; i < this.nrPages; i++)
        nodes[`${prefix}ring-ref${order === undefined ? '' : i}`] = `${this.#ringRef(queue) + i}`;
      nodes[`${prefix}event-channel`] = `${FIRST_PORT + queue}`;
    }
    return new Map(Object.entries({ ...nodes, ...changes }));
  }

  /** A request of the kind that has its segments in the slot; returns its bytes. */
  transfer(operation: number, sector: number | bigint, seg: Seg[], changes: object = {}): Uint8Array {
    return this.layouts.request.create({
      operation,
      nr_segments: seg.length,
      id: this.#id++,
      sector_number: BigInt(sector),
      seg: seg.slice(0, native.BLKIF_MAX_SEGMENTS_PER_REQUEST),
      ...changes,
    });
  }

  /** With its segments in the indirect page, the n-th page of data. */
  indirect(operation: number, sector: number, seg: Seg[], n: number, changes: object = {}): Uint8Array {
    seg.slice(0, 512).forEach((segment, i) => {
      this.guest.memory.copyIn(
        gpa((DATA_MFN + n) * PAGE + i * 8),
        native.blkif_request_segment.create(segment),
      );
    });
    return this.layouts.indirect.create({
      operation: native.BLKIF_OP_INDIRECT,
      indirect_op: operation,
      nr_segments: seg.length,
      id: this.#id++,
      sector_number: BigInt(sector),
      indirect_grefs: [DATA_REF + n],
      ...changes,
    });
  }

  discard(sector: number | bigint, sectors: number | bigint, changes: object = {}): Uint8Array {
    return this.layouts.discard.create({
      operation: native.BLKIF_OP_DISCARD,
      id: this.#id++,
      sector_number: BigInt(sector),
      nr_sectors: BigInt(sectors),
      ...changes,
    });
  }

  /** Puts requests on a ring, and notifies if the back end wants it. */
  push(requests: readonly Uint8Array[], queue = 0): void {
    if (this.rings[queue]!.push(...requests)) this.notify(queue);
  }

  notify(queue = 0): void {
    this.#onEvent.get(FIRST_PORT + queue)?.();
  }

  /** Everything that was answered since the last call. */
  answersSoFar(): Answer[] {
    const { response } = this.layouts;
    for (const ring of this.rings)
      for (const slot of ring.take()) this.#answers.push(response.decode(slot) as Answer);
    return this.#answers.splice(0);
  }

  /** Sleeps until there are so many answers: an event that is missing never ends. */
  async answers(count: number): Promise<Answer[]> {
    const answers = this.answersSoFar();
    while (answers.length < count) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      // RING_FINAL_CHECK_FOR_RESPONSES: some may have come before rsp_event was set.
      const late = this.answersSoFar();
      if (late.length === 0) await woken;
      answers.push(...late, ...this.answersSoFar());
    }
    return answers;
  }

  /** One request and its status. */
  async ask(request: Uint8Array): Promise<number> {
    this.push([request]);
    return (await this.answers(1))[0]!.status;
  }

  data(n: number, bytes = PAGE): Uint8Array {
    return this.guest.memory.bytes(gpa((DATA_MFN + n) * PAGE), bytes);
  }

  /** Whether the back end uses a page of data now. */
  inUse(n: number): boolean {
    return (this.guest.flags(DATA_REF + n) & ~(GTF_permit_access | GTF_readonly)) !== 0;
  }

  close(): void {
    this.guest.close();
  }

  #ringRef(queue: number): number {
    return FIRST_RING_REF + queue * this.nrPages;
  }

  #makeRing(queue: number): FrontRing {
    const mfn = FIRST_RING_MFN + queue * this.nrPages;
    for (let i = 0; i < this.nrPages; i++)
      this.guest.grant(this.#ringRef(queue) + i, mfn + i, GTF_permit_access, 0);
    return new FrontRing(this.guest.memory, mfn, this.layouts.sring, this.nrPages);
  }

  #interrupt(): void {
    this.events++;
    this.#wake();
  }
}
