/** What back ends have of a domain: on the main thread, for as long as one start of the guest lasts. */
import type { GuestMemory } from '../../kvm/index.js';
import type { HostGrant } from '../grants/host-grants.js';

/** The host's end of an event channel. */
export interface BackendChannel {
  /** Raises the guest's port; any number of times costs one interrupt. Nothing happens once either side has closed it. */
  notify(): void;
  /** From now on a guest that is at work may be left to it for a moment before `onEvent` is called, or not any more. */
  bePatient(patient: boolean): void;
  /** Idempotent. `onEvent` is not called afterwards. */
  close(): void;
}

export interface BackendHost {
  readonly domid: number;
  readonly memory: GuestMemory;

  /**
   * Grants to domain 0, as HostGrants.access().
   * @returns the frame until release(), or GNTST_*, which is negative
   */
  access(gref: number, options: { readonly write: boolean }): HostGrant | number;

  /** A frame of the guest's was written, with whatever the guest may come to run. */
  wrote(mfn: number): void;
  /** Resolves when the guest may hear of all that was written up to now; undefined: at once. */
  settled(): Promise<void> | undefined;

  /**
   * EVTCHNOP_bind_interdomain to a port that the guest allocated for domain 0. `onEvent` runs on this thread's event loop; events
   * that come together are one call.
   * @throws XennerError (rejection) EPORT when the guest has no such port
   */
  bindPort(port: number, onEvent: () => void): Promise<BackendChannel>;
}
