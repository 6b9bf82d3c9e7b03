/**
 * Active grant entries: which references one domain uses, and how often. The flags in the shared entry say that it is
 * used at all; the counts, and the frame that was granted when the use began, are kept here, out of the guest's reach.
 */
import { GNTST_bad_gntref, GNTST_general_error, GTF_reading, GTF_writing } from '../abi/grant-table.js';
import { ENTRIES_PER_FRAME, type GrantEntries, type GrantUse } from './grant-entries.js';

/**
 * Kinds of use, each as one more in the counts of an entry: a mapping into page tables or for a device, or a copy, which counts as a
 * host mapping.
 */
export const GNTPIN_hstw_inc = 1 << 0;
export const GNTPIN_hstr_inc = 1 << 8;
export const GNTPIN_devw_inc = 1 << 16;
export const GNTPIN_devr_inc = 1 << 24;
const WRITERS = (GNTPIN_hstw_inc * 0xff) | (GNTPIN_devw_inc * 0xff);
/** GNTPIN_incr2oflow_mask: no more than half of a count's 8 bits is used. */
const OVERFLOW_SHIFT = 7;

export interface ActiveGrant {
  readonly mfn: number;
}

class Active implements ActiveGrant {
  /** Four counts; 0: not in use. */
  pins = 0;
  mfn = 0;

  get written(): boolean {
    return (this.pins & WRITERS) !== 0;
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
  /** Without gaps, which would make it a slow array: at most one for each entry that there is. */
  readonly #active: Active[] = [];

  constructor(options: ActiveGrantsOptions) {
    this.#options = options;
  }

  isActive(ref: number): boolean {
    return (this.#active[ref]?.pins ?? 0) !== 0;
  }

  /** References in use, each with its frame. */
  get frames(): Array<[ref: number, mfn: number]> {
    const frames: Array<[number, number]> = [];
    this.#active.forEach(({ pins, mfn }, ref) => {
      if (pins !== 0) frames.push([ref, mfn]);
    });
    return frames;
  }

  /** One more use that began before the domain was saved; its entry says so already. False: there cannot be so many. */
  restore(ref: number, mfn: number, pins: number): boolean {
    const active = this.#at(ref);
    if ((active.pins & (pins << OVERFLOW_SHIFT)) !== 0) return false;
    active.mfn = mfn;
    active.pins = (active.pins + pins) | 0;
    return true;
  }

  /** The frame of a reference in use. */
  mfnOf(ref: number): number {
    return this.#active[ref]!.mfn;
  }

  /**
   * What map_grant_ref and acquire_grant_for_copy share: takes the entry into use, or into use to write.
   * @param pins GNTPIN_*_inc, of those that write or of those that read
   * @returns the grant, or GNTST_*
   */
  acquire(ref: number, pins: number, use: GrantUse): ActiveGrant | number {
    const { entries, domid, nrFrames } = this.#options;
    if (ref >= nrFrames() * ENTRIES_PER_FRAME) return GNTST_bad_gntref;
    const active = this.#at(ref);
    const inUse = active.pins !== 0;
    if ((active.pins & (pins << OVERFLOW_SHIFT)) !== 0) return GNTST_general_error;
    if (!inUse || (use.write && !active.written)) {
      const status = entries.acquire(ref, domid, use, inUse);
      if (status !== 0) return status;
    }
    if (!inUse) active.mfn = entries.frame(ref);
    const status = this.#options.checkFrame(active.mfn, use.write);
    if (status !== 0) {
      this.#reduceStatus(ref, active, use.write);
      return status;
    }
    active.pins = (active.pins + pins) | 0;
    return active;
  }

  /** Undoes one pin of an acquire(). */
  release(ref: number, pin: number): void {
    const active = this.#active[ref];
    if (active === undefined || (active.pins & (pin * 0xff)) === 0)
      throw new RangeError(`grant ${ref} has no ${pin} to release`);
    active.pins = (active.pins - pin) | 0;
    this.#reduceStatus(ref, active, (pin & WRITERS) !== 0);
  }

  #at(ref: number): Active {
    for (let next = this.#active.length; next <= ref; next++) this.#active.push(new Active());
    return this.#active[ref]!;
  }

  /** reduce_status_for_pin: the entry's flags say no more than the counts. */
  #reduceStatus(ref: number, active: Active, write: boolean): void {
    const reading = active.pins === 0 ? GTF_reading : 0;
    const writing = write && !active.written ? GTF_writing : 0;
    if ((reading | writing) !== 0) this.#options.entries.release(ref, reading | writing);
  }
}
