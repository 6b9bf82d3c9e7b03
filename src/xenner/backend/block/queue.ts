/**
 * One ring of a block device: takes requests, has them done by the image, any number at a time, and answers. What counts as a
 * guest's mistake, and its answer, are as in Linux's blkback (drivers/block/xen-blkback/blkback.c).
 */
import { MAX_BLOCK_WORK_PER_TURN } from '../../../base/limits.js';
import { gpa } from '../../../kvm/index.js';
import {
  BLKIF_MAX_SEGMENTS_PER_REQUEST,
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_INDIRECT,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  BLKIF_RSP_EOPNOTSUPP,
  BLKIF_RSP_ERROR,
  BLKIF_RSP_OKAY,
  blkif_request_segment,
} from '../../abi/blkif.js';
import type { HostGrant } from '../../grants/host-grants.js';
import { Answers } from '../answers.js';
import type { BackRing } from '../back-ring.js';
import type { BackendHost } from '../backend-host.js';
import type { Disk, Kind } from './disk.js';
import type { DataGrants } from './grant-cache.js';
import { type Protocol, type Segment, segmentsAt } from './protocol.js';
import { releaseAll, SECTOR_BYTES, sectorsOf, vectorsOf } from './vectors.js';

const PAGE = 4096;
/** After so many events it is seen whether the guest has several requests for each. */
const EVENTS_TO_JUDGE = 32;

/** What the answer repeats. */
interface Request {
  readonly operation: number;
  readonly idLow: number;
  readonly idHigh: number;
}

interface Job {
  readonly request: Request;
  readonly kind: Kind;
  readonly bytes: number;
  readonly grants: readonly HostGrant[];
  run(): Promise<void>;
}

export interface BlockQueueOptions {
  readonly host: BackendHost;
  readonly disk: Disk;
  readonly ring: BackRing;
  readonly protocol: Protocol;
  readonly grants: DataGrants;
  readonly notify: () => void;
  /** BackendChannel.bePatient */
  readonly bePatient: (patient: boolean) => void;
  /** The ring cannot be gone on with, by the guest's doing. It stops. */
  readonly broken: (reason: string) => void;
  /** An image failed, so that the guest was told of an error. */
  readonly failed: (error: unknown) => void;
}

export class BlockQueue {
  readonly #options: BlockQueueOptions;
  #inFlight = 0;
  /** Nothing is taken before the barrier that was taken last is answered. */
  #barred = false;
  #stopped = false;
  #turn: NodeJS.Immediate | undefined;
  #answered = false;
  #events = 0;
  /** Since #events was 0. */
  #requests = 0;
  readonly #answers: Answers;
  #waiting: Array<{ readonly atMost: number; readonly resolve: () => void }> = [];

  constructor(options: BlockQueueOptions) {
    this.#options = options;
    this.#answers = new Answers(options.host, options.ring, options.notify);
  }

  /** The guest notified. */
  service(): void {
    if (++this.#events === EVENTS_TO_JUDGE) {
      this.#options.bePatient(this.#requests >= 2 * EVENTS_TO_JUDGE);
      this.#events = this.#requests = 0;
    }
    if (this.#turn === undefined) this.#take();
  }

  /** Takes no more; resolves when all that was taken is answered: the ring then says everything there is to know. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearImmediate(this.#turn);
    this.#turn = undefined;
    await this.#untilInFlight(0);
    this.#push();
    await this.#answers.pushed();
  }

  /** A guest that was destroyed takes its memory along, whatever is under way. */
  get #isGone(): boolean {
    return this.#options.host.memory.size === 0;
  }

  #take(): void {
    const { ring, protocol } = this.#options;
    for (let work = 0; !this.#stopped && !this.#barred && !this.#isGone; ) {
      if (ring.isOverrun) {
        this.#stopped = true;
        this.#options.broken(`the ring is broken: more than ${ring.size} requests`);
        return;
      }
      if (ring.unconsumed === 0 && !ring.finalCheck()) return;
      if (work >= MAX_BLOCK_WORK_PER_TURN) {
        this.#turn = setImmediate(() => {
          this.#turn = undefined;
          this.#take();
        });
        return;
      }
      ring.copyRequest(ring.reqCons, protocol.words);
      ring.consume(1);
      this.#requests++;
      work += 1 + this.#start();
    }
  }

  /** Looks at the request in the protocol's slot. Returns how many segments it has. */
  #start(): number {
    const { protocol } = this.#options;
    const { operation, idLow, idHigh } = protocol;
    const request = { operation, idLow, idHigh };
    switch (operation) {
      case BLKIF_OP_READ:
      case BLKIF_OP_WRITE:
      case BLKIF_OP_FLUSH_DISKCACHE:
      case BLKIF_OP_WRITE_BARRIER: {
        const count = protocol.nrSegments;
        if (count > BLKIF_MAX_SEGMENTS_PER_REQUEST) return this.#answer(request, BLKIF_RSP_ERROR);
        const kind = operation === BLKIF_OP_WRITE_BARRIER ? BLKIF_OP_FLUSH_DISKCACHE : operation;
        return this.#transfer(request, kind, protocol.segments(count));
      }
      case BLKIF_OP_INDIRECT:
        // The response names what it stands for, as blkback's does: blkfront insists.
        return this.#startIndirect({ ...request, operation: protocol.indirectOp });
      case BLKIF_OP_DISCARD:
        return this.#discard(request);
      default:
        return this.#answer(request, BLKIF_RSP_EOPNOTSUPP);
    }
  }

  #startIndirect(request: Request): number {
    const { protocol, disk, host, grants } = this.#options;
    if (disk.maxIndirectSegments === 0) return this.#answer(request, BLKIF_RSP_EOPNOTSUPP);
    const count = protocol.nrIndirectSegments;
    const kind = protocol.indirectOp;
    if (count > disk.maxIndirectSegments || (kind !== BLKIF_OP_READ && kind !== BLKIF_OP_WRITE))
      return this.#answer(request, BLKIF_RSP_ERROR);
    const page = grants.access(protocol.indirectGref, { write: false });
    if (typeof page === 'number') return this.#answer(request, BLKIF_RSP_ERROR);
    const copy = host.memory.copyOut(gpa(page.mfn * PAGE), count * blkif_request_segment.size);
    page.release();
    return this.#transfer(request, kind, segmentsAt(new Uint32Array(copy.buffer), 0, count));
  }

  /** Checks in blkback's order, takes the frames and begins. A flush may have data, and comes before it. */
  #transfer(
    request: Request,
    kind: Exclude<Kind, typeof BLKIF_OP_DISCARD>,
    segments: readonly Segment[],
  ): number {
    const { host, disk, grants, protocol } = this.#options;
    const sectors = sectorsOf(segments);
    const sector = protocol.sectorNumber;
    const isRead = kind === BLKIF_OP_READ;
    if (
      sectors === undefined ||
      (sectors === 0 && kind !== BLKIF_OP_FLUSH_DISKCACHE) ||
      (sectors > 0 && (!disk.accepts(sector, sectors) || (disk.readOnly && !isRead)))
    )
      return this.#answer(request, BLKIF_RSP_ERROR);
    const vectors = vectorsOf(host.memory, grants, segments, isRead);
    if (vectors === undefined) return this.#answer(request, BLKIF_RSP_ERROR);
    const { image } = disk;
    const offset = sector * SECTOR_BYTES;
    const run = async () => {
      if (isRead) return image.read(offset, vectors.views);
      const isBarrier = request.operation === BLKIF_OP_WRITE_BARRIER;
      if (isBarrier) await this.#untilInFlight(1);
      if (kind === BLKIF_OP_FLUSH_DISKCACHE) await image.flush();
      if (sectors > 0) await image.write(offset, vectors.views);
      // blkif.h wants what follows a barrier to come after its data; Linux's blkback leaves that to the guest.
      if (isBarrier && sectors > 0) await image.flush();
    };
    this.#begin({ request, kind, bytes: sectors * SECTOR_BYTES, grants: vectors.grants, run });
    return segments.length;
  }

  #discard(request: Request): number {
    const { disk, protocol } = this.#options;
    const { sectorNumber, nrSectors } = protocol;
    if (!disk.canDiscard) return this.#answer(request, BLKIF_RSP_EOPNOTSUPP);
    if (nrSectors === 0 || !disk.accepts(sectorNumber, nrSectors))
      return this.#answer(request, BLKIF_RSP_ERROR);
    const bytes = nrSectors * SECTOR_BYTES;
    const run = () => disk.image.discard(sectorNumber * SECTOR_BYTES, bytes);
    this.#begin({ request, kind: BLKIF_OP_DISCARD, bytes, grants: [], run });
    return 0;
  }

  #begin(job: Job): void {
    this.#inFlight++;
    this.#barred = job.request.operation === BLKIF_OP_WRITE_BARRIER;
    job.run().then(
      () => this.#end(job, BLKIF_RSP_OKAY),
      (error: NodeJS.ErrnoException) => {
        this.#options.failed(error);
        this.#end(job, error.code === 'EOPNOTSUPP' ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR);
      },
    );
  }

  #end({ request, kind, bytes, grants }: Job, status: number): void {
    this.#inFlight--;
    if (!this.#isGone) {
      // Before the answer: the guest may end its grants as soon as it sees that.
      if (kind === BLKIF_OP_READ) for (const { mfn } of grants) this.#options.host.wrote(mfn);
      releaseAll(grants);
      if (status === BLKIF_RSP_OKAY) this.#options.disk.count(kind, bytes);
      this.#answer(request, status);
    }
    this.#wake();
    if (request.operation !== BLKIF_OP_WRITE_BARRIER) return;
    this.#barred = false;
    this.service();
  }

  /** Returns 0: that is no work. */
  #answer({ operation, idLow, idHigh }: Request, status: number): 0 {
    if (status !== BLKIF_RSP_OKAY) this.#options.disk.statistics.errors++;
    this.#options.ring.respond([idLow, idHigh, operation | ((status & 0xffff) << 16)]);
    // What is answered in one turn of the event loop is one push, and at most one event.
    if (!this.#answered) process.nextTick(() => this.#push());
    this.#answered = true;
    return 0;
  }

  #push(): void {
    if (!this.#answered) return;
    this.#answered = false;
    this.#answers.push();
  }

  /** Resolves when no more requests than so many are under way. */
  #untilInFlight(atMost: number): Promise<void> {
    if (this.#inFlight <= atMost) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push({ atMost, resolve });
    });
  }

  #wake(): void {
    const due = this.#waiting.filter(({ atMost }) => atMost >= this.#inFlight);
    if (due.length === 0) return;
    this.#waiting = this.#waiting.filter((each) => !due.includes(each));
    for (const { resolve } of due) resolve();
  }
}
