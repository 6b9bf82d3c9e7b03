/** xen/include/public/sched.h: yielding, blocking, polling, shutting down. */
import { cstruct, pad, s32, u16, u32, u64 } from '../../base/layout.js';

const HEADER = 'sched.h';

export const SCHEDOP_yield = 0;
export const SCHEDOP_block = 1;
export const SCHEDOP_shutdown = 2;
export const SCHEDOP_poll = 3;
export const SCHEDOP_remote_shutdown = 4;
export const SCHEDOP_shutdown_code = 5;
export const SCHEDOP_watchdog = 6;
export const SCHEDOP_pin_override = 7;

export const sched_shutdown = cstruct('struct sched_shutdown', HEADER, 4, { reason: u32 });
export const sched_poll = cstruct('struct sched_poll', HEADER, 24, {
  ports: u64,
  nr_ports: u32,
  _pad: pad(4),
  timeout: u64,
});
export const sched_remote_shutdown = cstruct('struct sched_remote_shutdown', HEADER, 8, {
  domain_id: u16,
  _pad: pad(2),
  reason: u32,
});
export const sched_watchdog = cstruct('struct sched_watchdog', HEADER, 8, { id: u32, timeout: u32 });
export const sched_pin_override = cstruct('struct sched_pin_override', HEADER, 4, { pcpu: s32 });

export const SHUTDOWN_poweroff = 0;
export const SHUTDOWN_reboot = 1;
export const SHUTDOWN_suspend = 2;
export const SHUTDOWN_crash = 3;
export const SHUTDOWN_watchdog = 4;
export const SHUTDOWN_soft_reset = 5;
export const SHUTDOWN_MAX = 5;
