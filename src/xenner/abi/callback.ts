/** xen/include/public/callback.h. */
import { cstruct, pad, u16, u64 } from '../../base/layout.js';

const HEADER = 'callback.h';

export const CALLBACKTYPE_event = 0;
export const CALLBACKTYPE_failsafe = 1;
export const CALLBACKTYPE_syscall = 2;
export const CALLBACKTYPE_sysenter_deprecated = 3;
export const CALLBACKTYPE_nmi = 4;
export const CALLBACKTYPE_sysenter = 5;
export const CALLBACKTYPE_syscall32 = 7;
export const CALLBACKF_mask_events = 1 << 0;

export const CALLBACKOP_register = 0;
export const CALLBACKOP_unregister = 1;

export const callback_register = cstruct('struct callback_register', HEADER, 16, {
  type: u16,
  flags: u16,
  _pad: pad(4),
  address: u64,
});
export const callback_unregister = cstruct('struct callback_unregister', HEADER, 4, {
  type: u16,
  _unused: pad(2),
});
