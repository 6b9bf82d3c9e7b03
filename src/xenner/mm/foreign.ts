/** Whose frames a request may name: get_pg_owner and the default XSM policy (xen/common/page_alloc.c, xsm/dummy.h). */
import { EPERM, ESRCH } from '../abi/errno.js';
import { DOMID_IO, DOMID_SELF, DOMID_XEN } from '../abi/xen.js';

/** The host's back ends are domain 0, which exists; no other domain does for this guest. */
const HOST_DOMID = 0;

/** A guest's own frames, DOMID_IO's (that is, none of RAM), or an errno. */
export type PageOwner = 'self' | 'io' | number;

/** A domU may use its own frames and DOMID_IO; naming itself by number is -ESRCH, as in Xen. */
export function pageOwner(own: number, domid: number): PageOwner {
  switch (domid & 0xffff) {
    case DOMID_SELF:
      return 'self';
    case own:
      return -ESRCH;
    case DOMID_IO:
      return 'io';
    case DOMID_XEN:
    case HOST_DOMID:
      return -EPERM;
    default:
      return -ESRCH;
  }
}
