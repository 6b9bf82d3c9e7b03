/**
 * Active grant entries: which references one domain uses, and how often. The flags in the shared entry say that it is
 * used at all; the counts, and the frame that was granted when the use began, are kept here, out of the guest's reach.
 */
import { GNTST_bad_gntref, GNTST_general_error, GTF_reading, GTF_writing } from '../abi/grant-table.js';
import { ENTRIES_PER_FRAME, type GrantEntries, type GrantUse } from './grant-entries.js';

/** Each count has 8 bits in Xen, and no more than half of that is used (GNTPIN_incr2oflow_mask). */
const MAX_PINS = 128;

/** A kind of use: a mapping into page tables or for a device, or a copy, which counts as a host mapping. */
export type Pin = 'hostWrite' | 'hostRead' | 'deviceWrite' | 'deviceRead';

export interface ActiveGrant {
  readonly mfn: number;
}

class Counts implements ActiveGrant, Record<Pin, number> {
  hostWrite = 0;
  hostRead = 0;
  deviceWrite = 0;
  deviceRead = 0;

  constructor(public mfn: number) {}

  get written(): boolean {
    return this.hostWrite + this.deviceWrite !== 0;
  }

  get used(): boolean {
    return this.written || this.hostRead + this.deviceRead !== 0;
  }
}

export interface ActiveGrantsOptions {
  readonly entries: GrantEntries;
  /** Who uses them. */
  readonly domid: number;
  /** nr_grant_frames, now. */
  readonly nrFrames: () => number;
  /** get_paged_frame, and get_page_type where that is wanted: GNTST_okay or what Xen answers. */
  readonly checkFrame: (mfn: number, write: boolean) => number;
}

export class ActiveGrants {
  readonly #options: ActiveGrantsOptions;
  /** Also those that were used, which most likely will be again: at most one for each entry that there is. */
  readonly #counts = new Map<number, Counts>();

  constructor(options: ActiveGrantsOptions) {
    this.#options = options;
  }

  isActive(ref: number): boolean {
    return this.#activeAt(ref) !== undefined;
  }

  /** References in use, each with its frame. */
  get frames(): Array<[ref: number, mfn: number]> {
    return [...this.#counts].filter(([, { used }]) => used).map(([ref, { mfn }]) => [ref, mfn]);
  }

  /** One more pin of a use that began before the domain was saved; its entry says so already. */
  restore(ref: number, mfn: number, pin: Pin): void {
    this.#begin(ref, mfn)[pin]++;
  }

  /** The frame of a reference in use. */
  mfnOf(ref: number): number {
    return this.#counts.get(ref)!.mfn;
  }

  /**
   * What map_grant_ref and acquire_grant_for_copy share: takes the entry into use, or into use to write, once for each
   * of `pins`, which all read or all write.
   * @returns the grant, or GNTST_*
   */
  acquire(ref: number, pins: readonly Pin[], use: GrantUse): ActiveGrant | number {
    const { entries, domid, nrFrames } = this.#options;
    if (ref >= nrFrames() * ENTRIES_PER_FRAME) return GNTST_bad_gntref;
    const active = this.#activeAt(ref);
    if (active !== undefined && pins.some((pin) => active[pin] >= MAX_PINS)) return GNTST_general_error;
    if (active === undefined || (use.write && !active.written)) {
      const status = entries.acquire(ref, domid, use, active !== undefined);
      if (status !== 0) return status;
    }
    const mfn = active?.mfn ?? entries.frame(ref);
    const status = this.#options.checkFrame(mfn, use.write);
    if (status !== 0) {
      this.#reduceStatus(ref, active, use.write);
      return status;
    }
    const counts = active ?? this.#begin(ref, mfn);
    for (const pin of pins) counts[pin]++;
    return counts;
  }

  /** Undoes one pin of an acquire(). */
  release(ref: number, pin: Pin): void {
    const active = this.#activeAt(ref);
    if (active === undefined || active[pin] === 0)
      throw new RangeError(`grant ${ref} has no ${pin} to release`);
    active[pin]--;
    this.#reduceStatus(ref, active, pin === 'hostWrite' || pin === 'deviceWrite');
  }

  #activeAt(ref: number): Counts | undefined {
    const counts = this.#counts.get(ref);
    return counts?.used ? counts : undefined;
  }

  #begin(ref: number, mfn: number): Counts {
    let counts = this.#counts.get(ref);
    if (counts === undefined) {
      counts = new Counts(mfn);
      this.#counts.set(ref, counts);
    }
    counts.mfn = mfn;
    return counts;
  }

  /** reduce_status_for_pin: the entry's flags say no more than the counts. */
  #reduceStatus(ref: number, active: Counts | undefined, write: boolean): void {
    const reading = active?.used ? 0 : GTF_reading;
    const writing = write && !active?.written ? GTF_writing : 0;
    if ((reading | writing) !== 0) this.#options.entries.release(ref, reading | writing);
  }
}
