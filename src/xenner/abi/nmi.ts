/** xen/include/public/nmi.h: nmi_op. */
import { cstruct, pad, u64 } from '../../base/layout.js';

export const XENNMI_register_callback = 0;
export const XENNMI_unregister_callback = 1;
export const xennmi_callback = cstruct('struct xennmi_callback', 'nmi.h', 16, {
  handler_address: u64,
  pad: pad(8),
});
