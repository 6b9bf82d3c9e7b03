/**
 * Grants of a queue's data pages. With a persistent front end they stay mapped for the next request that names them: see
 * feature-persistent in public/io/blkif.h.
 */
import { MAX_BLOCK_PERSISTENT_GRANTS } from '../../../base/limits.js';
import type { HostGrant } from '../../grants/host-grants.js';
import type { BackendHost } from '../backend-host.js';

export interface DataGrants {
  /** @returns the frame until release(), or GNTST_* */
  access(gref: number, options: { readonly write: boolean }): HostGrant | number;
  /** Gives back what is kept; no frame is in use any more. */
  close(): void;
}

/** Every access is a mapping of its own. */
export function mapEach(host: BackendHost): DataGrants {
  return { access: (gref, options) => host.access(gref, options), close() {} };
}

class Kept {
  users = 0;
  constructor(readonly grant: HostGrant) {}

  use(): HostGrant {
    this.users++;
    let held = true;
    const release = () => {
      if (held) this.users--;
      held = false;
    };
    return { mfn: this.grant.mfn, release };
  }
}

export class PersistentGrants implements DataGrants {
  readonly #host: BackendHost;
  readonly #max: number;
  /** By their last use, the longest ago first. */
  readonly #kept = new Map<number, Kept>();

  constructor(host: BackendHost, max = MAX_BLOCK_PERSISTENT_GRANTS) {
    this.#host = host;
    this.#max = max;
  }

  get size(): number {
    return this.#kept.size;
  }

  access(gref: number, options: { readonly write: boolean }): HostGrant | number {
    let kept = this.#kept.get(gref);
    if (kept === undefined) {
      if (!this.#makeRoom()) return this.#host.access(gref, options);
      // For reading as well: a later request may want to write (note 8 in blkif.h).
      const grant = this.#host.access(gref, { write: true });
      if (typeof grant === 'number') return grant;
      kept = new Kept(grant);
    }
    this.#kept.delete(gref);
    this.#kept.set(gref, kept);
    return kept.use();
  }

  close(): void {
    for (const { grant } of this.#kept.values()) grant.release();
    this.#kept.clear();
  }

  /** False: even what was used longest ago is in use. Looking further would let a guest make every access slow. */
  #makeRoom(): boolean {
    if (this.#kept.size < this.#max) return true;
    const [[gref, oldest]] = this.#kept as Iterable<[number, Kept]> as [[number, Kept]];
    if (oldest.users > 0) return false;
    oldest.grant.release();
    this.#kept.delete(gref);
    return true;
  }
}
