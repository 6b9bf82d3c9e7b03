/** xen/include/public/vcpu.h: vcpu_op. */
import { array, cstruct, pad, s32, u32, u64 } from '../../base/layout.js';

const HEADER = 'vcpu.h';

export const VCPUOP_initialise = 0;
export const VCPUOP_up = 1;
export const VCPUOP_down = 2;
export const VCPUOP_is_up = 3;
export const VCPUOP_get_runstate_info = 4;
export const VCPUOP_register_runstate_memory_area = 5;
export const VCPUOP_set_periodic_timer = 6;
export const VCPUOP_stop_periodic_timer = 7;
export const VCPUOP_set_singleshot_timer = 8;
export const VCPUOP_stop_singleshot_timer = 9;
export const VCPUOP_register_vcpu_info = 10;
export const VCPUOP_send_nmi = 11;
export const VCPUOP_get_physid = 12;
export const VCPUOP_register_vcpu_time_memory_area = 13;

export const vcpu_runstate_info = cstruct('struct vcpu_runstate_info', HEADER, 48, {
  state: s32,
  _pad: pad(4),
  state_entry_time: u64,
  time: array(u64, 4),
});
/** In state_entry_time while Xen writes, for guests that enabled VMASST_TYPE_runstate_update_flag. */
export const XEN_RUNSTATE_UPDATE = 1n << 63n;
export const RUNSTATE_running = 0;
export const RUNSTATE_runnable = 1;
export const RUNSTATE_blocked = 2;
export const RUNSTATE_offline = 3;

/** `addr` is a union of a guest handle and a plain 64-bit address. */
export const vcpu_register_runstate_memory_area = cstruct(
  'struct vcpu_register_runstate_memory_area',
  HEADER,
  8,
  { addr: u64 },
);
export const vcpu_set_periodic_timer = cstruct('struct vcpu_set_periodic_timer', HEADER, 8, {
  period_ns: u64,
});
export const vcpu_set_singleshot_timer = cstruct('struct vcpu_set_singleshot_timer', HEADER, 16, {
  timeout_abs_ns: u64,
  flags: u32,
  _pad: pad(4),
});
/** Answer -ETIME instead of firing at once when the time has passed. */
export const VCPU_SSHOTTMR_future = 1 << 0;
export const vcpu_register_vcpu_info = cstruct('struct vcpu_register_vcpu_info', HEADER, 16, {
  mfn: u64,
  offset: u32,
  rsvd: u32,
});
export const vcpu_get_physid = cstruct('struct vcpu_get_physid', HEADER, 8, { phys_id: u64 });
export const vcpu_register_time_memory_area = cstruct('struct vcpu_register_time_memory_area', HEADER, 8, {
  addr: u64,
});
