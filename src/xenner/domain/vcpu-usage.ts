/** How a guest's vCPUs spend their time, as the account in their areas has it: looked at from outside, while they run. */
import { clockSample, type GuestMemory, gpa } from '../../kvm/index.js';
import { RUNSTATE_blocked, RUNSTATE_offline, RUNSTATE_runnable, RUNSTATE_running } from '../abi/vcpu.js';
import { BLOCK_VCPU_AREA, blockOffset, runstate, vcpu_area } from '../monitor/vcpu-area.js';

const STATES = {
  [RUNSTATE_running]: 'running',
  [RUNSTATE_runnable]: 'runnable',
  [RUNSTATE_blocked]: 'blocked',
  [RUNSTATE_offline]: 'offline',
} as const;
const STATE_MASK = 3n;
const RUNSTATE = vcpu_area.offsetof('runstate');
const NS_PER_S = 1e9;

/** The guest could have falsified it. */
export interface VcpuUsage {
  readonly id: number;
  readonly state: (typeof STATES)[keyof typeof STATES];
  /** Time that it was running. */
  readonly cpuSeconds: number;
}

/**
 * @param monitor where the monitor's image is
 * @param startNs CLOCK_MONOTONIC when the guest's system time was 0
 */
export function vcpuUsage(
  memory: GuestMemory,
  monitor: number,
  nrVcpus: number,
  startNs: number,
): readonly VcpuUsage[] {
  const now = Number(clockSample().monotonicNs) - startNs;
  return Array.from({ length: nrVcpus }, (_, id) => {
    const at = monitor + blockOffset(id) + BLOCK_VCPU_AREA + RUNSTATE;
    const { state, entry_time, time } = runstate.decode(memory.copyOut(gpa(at), runstate.size));
    const kind = Number(state & STATE_MASK) as keyof typeof STATES;
    const since = kind === RUNSTATE_running ? Math.max(0, now - Number(entry_time)) : 0;
    return { id, state: STATES[kind], cpuSeconds: (Number(time[RUNSTATE_running]) + since) / NS_PER_S };
  });
}
