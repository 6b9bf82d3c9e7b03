/** Which domain an operation names: only the caller exists, and domain 0, which is out of its bounds. */
import { EPERM, ESRCH } from '../../abi/errno.js';
import { DOMID_SELF } from '../../abi/xen.js';
import type { Domain } from '../../domain/domain-state.js';
import { HOST_DOMID } from '../../event-channels.js';

export function isSelf(domain: Domain, domid: number): boolean {
  return domid === DOMID_SELF || domid === domain.domid;
}

/** rcu_lock_domain_by_any_id, then XSM_TARGET: 0 for the caller itself. */
export function checkTarget(domain: Domain, domid: number): number {
  if (isSelf(domain, domid)) return 0;
  return domid === HOST_DOMID ? -EPERM : -ESRCH;
}
