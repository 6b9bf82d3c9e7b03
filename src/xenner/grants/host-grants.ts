/**
 * What the guest granted to the host's back ends. A back end may live on any thread: this needs guest memory and nothing
 * else, and changes grant entries by compare-exchange. One object serves all of a domain's back ends, since it counts
 * their uses.
 *
 * It takes no reference to a page's type, which only the vCPU thread may change. A guest that turns a granted page into
 * a page table while a back end writes it harms itself alone: nothing outside its own memory depends on its tables.
 */
import { type Gpa, type GuestMemory, gpa } from '../../kvm/guest-memory.js';
import { GNTST_bad_page, GNTST_general_error, GNTST_okay } from '../abi/grant-table.js';
import { HOST_DOMID } from '../event-channels.js';
import {
  PGC_shared,
  PGC_xen,
  PGT_count_mask,
  PGT_type_mask,
  PGT_writable_page,
} from '../monitor/vcpu-area.js';
import { ActiveGrants, GNTPIN_hstr_inc, GNTPIN_hstw_inc } from './active-grants.js';
import { GrantEntries, type GrantFrames } from './grant-entries.js';

export interface HostGrantsOptions {
  readonly memory: GuestMemory;
  readonly grantFrames: GrantFrames;
  /** The guest's own frames are below: nothing else can be granted to the host. */
  readonly nrPages: number;
  /** One u64 a frame: see vcpu_area.h. */
  readonly pageInfo: Gpa;
}

export interface HostGrant {
  readonly mfn: number;
  /** Idempotent. The frame is not to be touched afterwards. */
  release(): void;
}

const TO_READ = { pin: GNTPIN_hstr_inc, use: { write: false, map: true } } as const;
const TO_WRITE = { pin: GNTPIN_hstw_inc, use: { write: true, map: true } } as const;

class Held implements HostGrant {
  #held = true;

  constructor(
    private readonly active: ActiveGrants,
    private readonly gref: number,
    private readonly pin: number,
    readonly mfn: number,
  ) {}

  release(): void {
    if (this.#held) this.active.release(this.gref, this.pin);
    this.#held = false;
  }
}

export class HostGrants {
  readonly #options: HostGrantsOptions;
  readonly #active: ActiveGrants;

  constructor(options: HostGrantsOptions) {
    this.#options = options;
    this.#active = new ActiveGrants({
      entries: new GrantEntries(options.memory, options.grantFrames),
      domid: HOST_DOMID,
      nrFrames: () => options.grantFrames.count,
      checkFrame: (mfn, write) => this.#checkFrame(mfn, write),
    });
  }

  /**
   * What GNTTABOP_map_grant_ref with GNTMAP_host_map does for domain 0, with its checks; the frame is then guest memory
   * at `mfn * 4096`.
   * @returns the frame until release(), or GNTST_*
   */
  access(gref: number, { write }: { readonly write: boolean }): HostGrant | number {
    const { pin, use } = write ? TO_WRITE : TO_READ;
    const grant = this.#active.acquire(gref, pin, use);
    return typeof grant === 'number' ? grant : new Held(this.#active, gref, pin, grant.mfn);
  }

  #checkFrame(mfn: number, write: boolean): number {
    if (mfn >= this.#options.nrPages) return GNTST_bad_page;
    const info = this.#options.memory.atomicLoad32(gpa(this.#options.pageInfo + mfn * 8));
    if ((info & (PGC_xen | PGC_shared)) !== 0) return GNTST_bad_page;
    const typed = (info & PGT_count_mask) !== 0 && (info & PGT_type_mask) !== PGT_writable_page;
    return write && typed ? GNTST_general_error : GNTST_okay;
  }
}
