/**
 * The grant table of one domain, version 1: what it grants, and what it maps and copies of its own grants
 * (xen/common/grant_table.c). Grants to other domains are the host's to use: see grants/host-grants.ts.
 * Everything runs on the vCPU thread. Numbers from the guest are unsigned; results are GNTST_*.
 */
import { MAX_GRANT_MAPPINGS } from '../base/limits.js';
import { type Gpa, type GuestMemory, gpa } from '../kvm/guest-memory.js';
import {
  GNTCOPY_dest_gref,
  GNTCOPY_source_gref,
  GNTMAP_device_map,
  GNTMAP_host_map,
  GNTMAP_readonly,
  GNTST_bad_copy_arg,
  GNTST_bad_dev_addr,
  GNTST_bad_domain,
  GNTST_bad_gntref,
  GNTST_bad_handle,
  GNTST_bad_page,
  GNTST_eagain,
  GNTST_general_error,
  GNTST_no_space,
  GNTST_okay,
  GNTST_permission_denied,
  GTF_reading,
  GTF_writing,
} from './abi/grant-table.js';
import { DOMID_SELF } from './abi/xen.js';
import type { Vcpu } from './domain/vcpu.js';
import { HOST_DOMID } from './event-channels.js';
import {
  ActiveGrants,
  GNTPIN_devr_inc,
  GNTPIN_devw_inc,
  GNTPIN_hstr_inc,
  GNTPIN_hstw_inc,
} from './grants/active-grants.js';
import { ENTRIES_PER_FRAME, GrantEntries, type GrantFrames } from './grants/grant-entries.js';
import { createHostMapping, replaceHostMapping } from './grants/host-mapping.js';
import type { PageTypes } from './mm/page-types.js';
import { PGT_none, PGT_writable_page } from './monitor/vcpu-area.js';
import type { Json, Saved } from './save/saved.js';

const PAGE = 4096;
/** INITIAL_NR_GRANT_FRAMES */
const INITIAL_FRAMES = 1;

export interface GrantDomain {
  readonly domid: number;
  readonly memory: GuestMemory;
  /** `count` is max_grant_frames. */
  readonly grantFrames: GrantFrames;
  readonly pages: PageTypes;
  codeWritten(gpa: Gpa, length: number): void;
}

/** struct grant_mapping: what a handle stands for. `flags` loses a kind of mapping when that is taken away. */
interface Mapping {
  readonly ref: number;
  flags: number;
}

export interface MapRequest {
  readonly host_addr: bigint;
  readonly flags: number;
  readonly ref: number;
  readonly dom: number;
}

export interface UnmapRequest {
  readonly host_addr: bigint;
  readonly dev_bus_addr: bigint;
  /** unmap_and_replace; 0n is none. */
  readonly new_addr: bigint;
  readonly handle: number;
}

/** struct gnttab_copy's source or dest. */
export interface CopyPointer {
  readonly u: { readonly ref: number; readonly gmfn: bigint };
  readonly domid: number;
  readonly offset: number;
}

export interface CopyRequest {
  readonly source: CopyPointer;
  readonly dest: CopyPointer;
  readonly len: number;
  readonly flags: number;
}

/** A frame that a copy reads or writes. */
interface CopyFrame {
  readonly mfn: number;
  release(): void;
}

export class GrantTable {
  readonly #domain: GrantDomain;
  readonly #entries: GrantEntries;
  readonly #active: ActiveGrants;
  readonly #mappings = new Map<number, Mapping>();
  readonly #freeHandles: number[] = [];
  #nextHandle = 0;
  #nrFrames = INITIAL_FRAMES;

  constructor(domain: GrantDomain) {
    this.#domain = domain;
    this.#entries = new GrantEntries(domain.memory, domain.grantFrames);
    this.#active = new ActiveGrants({
      entries: this.#entries,
      domid: domain.domid,
      nrFrames: () => this.#nrFrames,
      checkFrame: (mfn) => (domain.pages.isOwned(mfn) ? GNTST_okay : GNTST_bad_page),
    });
  }

  /** Frames that the guest has. */
  get nrFrames(): number {
    return this.#nrFrames;
  }

  get maxFrames(): number {
    return this.#domain.grantFrames.count;
  }

  /** One of the reserved entries, granted to the host at the start of day: GNTTAB_RESERVED_CONSOLE, _XENSTORE. */
  seed(ref: number, mfn: number): void {
    this.#entries.seed(ref, HOST_DOMID, mfn);
  }

  /** rcu_lock_domain_by_any_id and XSM_TARGET: the operations on a whole table. */
  checkTarget(dom: number): number {
    if (this.#isSelf(dom)) return GNTST_okay;
    return dom === HOST_DOMID ? GNTST_permission_denied : GNTST_bad_domain;
  }

  /** gnttab_setup_table: grows the table, which never shrinks. */
  grow(frames: number): number {
    if (frames > this.maxFrames) return GNTST_general_error;
    for (; this.#nrFrames < frames; this.#nrFrames++) this.#entries.clearFrame(this.#nrFrames);
    return GNTST_okay;
  }

  frameMfn(index: number): number {
    return this.#domain.grantFrames.firstMfn + index;
  }

  /** map_grant_ref. Unlike others it does not know DOMID_SELF. */
  map(vcpu: Vcpu, op: MapRequest): { handle: number; dev_bus_addr: bigint } | number {
    const pins = pinsOf(op.flags);
    if (pins === 0) return GNTST_bad_gntref;
    if (op.dom === HOST_DOMID) return GNTST_bad_gntref;
    if (op.dom !== this.#domain.domid) return GNTST_bad_domain;
    if (this.#mappings.size >= MAX_GRANT_MAPPINGS) return GNTST_no_space;
    const write = (op.flags & GNTMAP_readonly) === 0;
    const grant = this.#active.acquire(op.ref, pins, { write, map: true });
    if (typeof grant === 'number') return grant;
    const status = this.#establish(vcpu, op, grant.mfn);
    if (status !== GNTST_okay) {
      for (const kind of [GNTMAP_host_map, GNTMAP_device_map])
        if ((op.flags & kind) !== 0) this.#releaseOf(op, kind);
      return status;
    }
    const handle = this.#freeHandles.pop() ?? this.#nextHandle++;
    this.#mappings.set(handle, { ref: op.ref, flags: op.flags & 0xffff });
    return { handle, dev_bus_addr: BigInt(grant.mfn * PAGE) };
  }

  /** unmap_common */
  unmap(vcpu: Vcpu, op: UnmapRequest): number {
    const mapping = this.#mappings.get(op.handle);
    if (mapping === undefined) return GNTST_bad_handle;
    const { ref, flags } = mapping;
    const mfn = this.#active.mfnOf(ref);
    const device = op.dev_bus_addr !== 0n && (flags & GNTMAP_device_map) !== 0;
    const host = op.host_addr !== 0n && (flags & GNTMAP_host_map) !== 0;
    if (device && op.dev_bus_addr !== BigInt(mfn * PAGE)) return GNTST_bad_dev_addr;
    if (host) {
      const status = replaceHostMapping(vcpu, op.host_addr, mfn, op.new_addr, flags);
      if (status !== GNTST_okay) return status;
      this.#drop(mapping, GNTMAP_host_map);
    }
    if (device) {
      this.#drop(mapping, GNTMAP_device_map);
      if ((flags & GNTMAP_readonly) === 0) this.#domain.pages.putPageType(vcpu, mfn, PGT_writable_page);
    }
    if ((mapping.flags & (GNTMAP_host_map | GNTMAP_device_map)) === 0) {
      this.#mappings.delete(op.handle);
      this.#freeHandles.push(op.handle);
    }
    return GNTST_okay;
  }

  /** gnttab_copy_one */
  copy(op: CopyRequest): number {
    if (op.len === 0) return GNTST_okay;
    const fromRef = (op.flags & GNTCOPY_source_gref) !== 0;
    const toRef = (op.flags & GNTCOPY_dest_gref) !== 0;
    const denied = this.#checkCopyDomain(op.source, fromRef) || this.#checkCopyDomain(op.dest, toRef);
    if (denied !== GNTST_okay) return denied;
    const source = this.#claim(op.source, fromRef, false);
    if (typeof source === 'number') return source;
    const dest = this.#claim(op.dest, toRef, true);
    const status = typeof dest === 'number' ? dest : this.#copyBytes(op, source.mfn, dest.mfn);
    source.release();
    if (typeof dest !== 'number') dest.release();
    return status;
  }

  /** swap_grant_ref: neither may be in use, by the guest itself or by the host. */
  swap(a: number, b: number): number {
    if (a >= this.#nrEntries || b >= this.#nrEntries) return GNTST_bad_gntref;
    if (a === b) return GNTST_okay;
    if (this.#inUse(a) || this.#inUse(b)) return GNTST_eagain;
    this.#entries.swap(a, b);
    return GNTST_okay;
  }

  /** For a save file. What is in use follows from the mappings: copies take no time. */
  save(): Json {
    const mappings = Array.from(this.#mappings, ([handle, { ref, flags }]) => [handle, ref, flags]);
    return { nrFrames: this.#nrFrames, mappings, frames: this.#active.frames };
  }

  /** Of a domain that was just made. @throws XennerError ESAVE_DAMAGED */
  restore(saved: Saved): void {
    this.#nrFrames = saved.get('nrFrames').int(INITIAL_FRAMES, this.maxFrames);
    const frames = new Map<number, number>();
    for (const each of saved.get('frames').list(this.#nrEntries)) {
      const [ref, mfn] = each.tuple(2) as [Saved, Saved];
      frames.set(ref.int(0, this.#nrEntries - 1), mfn.u32());
    }
    for (const each of saved.get('mappings').list(MAX_GRANT_MAPPINGS)) {
      const [handle, ref, flags] = each.tuple(3) as [Saved, Saved, Saved];
      const mapping = { ref: ref.int(0, this.#nrEntries - 1), flags: flags.int(1, 0xffff) };
      const mfn = frames.get(mapping.ref);
      if (mfn === undefined || !this.#domain.pages.isOwned(mfn)) throw ref.wrong('a reference in use');
      if (!this.#active.restore(mapping.ref, mfn, pinsOf(mapping.flags)))
        throw ref.wrong('a reference with room for one more use');
      this.#mappings.set(handle.int(0, MAX_GRANT_MAPPINGS - 1), mapping);
    }
    this.#nextHandle = Math.max(-1, ...this.#mappings.keys()) + 1;
    for (let handle = this.#nextHandle - 1; handle >= 0; handle--) {
      if (!this.#mappings.has(handle)) this.#freeHandles.push(handle);
    }
  }

  get #nrEntries(): number {
    return this.#nrFrames * ENTRIES_PER_FRAME;
  }

  #isSelf(dom: number): boolean {
    return dom === DOMID_SELF || dom === this.#domain.domid;
  }

  /** The host's uses are counted on another thread; what shows of them here is the entry's flags. */
  #inUse(ref: number): boolean {
    if (this.#active.isActive(ref)) return true;
    const used = (this.#entries.flags(ref) & (GTF_reading | GTF_writing)) !== 0;
    return used && this.#entries.domid(ref) === HOST_DOMID;
  }

  /** The mappings that the flags ask for: all of them, or none. */
  #establish(vcpu: Vcpu, op: MapRequest, mfn: number): number {
    const { pages } = this.#domain;
    const holdsType = (op.flags & GNTMAP_device_map) !== 0 && (op.flags & GNTMAP_readonly) === 0;
    if (holdsType && pages.getPageType(vcpu, mfn, PGT_writable_page) !== 0) return GNTST_general_error;
    if ((op.flags & GNTMAP_host_map) === 0) return GNTST_okay;
    const status = createHostMapping(vcpu, op.host_addr, mfn, op.flags);
    if (status !== GNTST_okay && holdsType) pages.putPageType(vcpu, mfn, PGT_writable_page);
    return status;
  }

  #drop(mapping: Mapping, kind: number): void {
    this.#releaseOf(mapping, kind);
    mapping.flags &= ~kind;
  }

  #releaseOf({ ref, flags }: Mapping, kind: number): void {
    this.#active.release(ref, pinsOf((flags & GNTMAP_readonly) | kind));
  }

  /** gnttab_copy_lock_domain: only DOMID_SELF may name a frame; the host grants nothing. */
  #checkCopyDomain({ domid }: CopyPointer, isRef: boolean): number {
    if (!isRef) return domid === DOMID_SELF ? GNTST_okay : GNTST_permission_denied;
    if (this.#isSelf(domid)) return GNTST_okay;
    return domid === HOST_DOMID ? GNTST_bad_gntref : GNTST_bad_domain;
  }

  /** gnttab_copy_claim_buf */
  #claim({ u }: CopyPointer, isRef: boolean, write: boolean): CopyFrame | number {
    const pin = write ? GNTPIN_hstw_inc : GNTPIN_hstr_inc;
    const grant = isRef ? this.#active.acquire(u.ref, pin, { write, map: false }) : { mfn: Number(u.gmfn) };
    if (typeof grant === 'number') return grant;
    const release = () => {
      if (isRef) this.#active.release(u.ref, pin);
    };
    const status = this.#checkCopyFrame(grant.mfn, write);
    if (status === GNTST_okay) return { mfn: grant.mfn, release };
    release();
    return status;
  }

  #checkCopyFrame(mfn: number, write: boolean): number {
    const { pages } = this.#domain;
    if (!pages.isOwned(mfn)) return GNTST_bad_page;
    const type = pages.typeOf(mfn);
    return write && type !== PGT_none && type !== PGT_writable_page ? GNTST_general_error : GNTST_okay;
  }

  #copyBytes({ source, dest, len }: CopyRequest, from: number, to: number): number {
    if (source.offset + len > PAGE || dest.offset + len > PAGE) return GNTST_bad_copy_arg;
    const { memory } = this.#domain;
    const target = gpa(to * PAGE + dest.offset);
    memory.bytes(target, len).set(memory.bytes(gpa(from * PAGE + source.offset), len));
    this.#domain.codeWritten(target, len);
    return GNTST_okay;
  }
}

/** Of a mapping of both kinds, both. */
function pinsOf(flags: number): number {
  const readonly = (flags & GNTMAP_readonly) !== 0;
  const device = readonly ? GNTPIN_devr_inc : GNTPIN_devw_inc;
  const host = readonly ? GNTPIN_hstr_inc : GNTPIN_hstw_inc;
  return ((flags & GNTMAP_device_map) !== 0 ? device : 0) | ((flags & GNTMAP_host_map) !== 0 ? host : 0);
}
