/** How a vCPU spends its time (vcpu_runstate_change in xen/common/sched/core.c), and the guest's copy of that. */
import {
  type RUNSTATE_blocked,
  RUNSTATE_offline,
  type RUNSTATE_running,
  vcpu_runstate_info,
} from '../abi/vcpu.js';
import type { Vcpu } from './vcpu.js';

const NR_STATES = RUNSTATE_offline + 1;

type RunstateInfo = ReturnType<typeof vcpu_runstate_info.decode>;

/** Times are system time, ns. */
export class Runstate {
  #state = RUNSTATE_offline;
  #since = 0;
  readonly #spent = new Array<number>(NR_STATES).fill(0);

  /** What a vCPU that is up can be in: nothing that the guest should know of competes for the CPU. */
  change(
    state: typeof RUNSTATE_running | typeof RUNSTATE_blocked | typeof RUNSTATE_offline,
    now: number,
  ): void {
    this.#spent[this.#state]! += now - this.#since;
    this.#state = state;
    this.#since = now;
  }

  /** As an area in guest memory has it: a reader adds the time since state_entry_time. */
  get info(): RunstateInfo {
    const time = this.#spent.map(nanoseconds);
    return { state: this.#state, state_entry_time: nanoseconds(this.#since), time };
  }

  /** VCPUOP_get_runstate_info: with the time in the present state. */
  infoAt(now: number): RunstateInfo {
    const info = this.info;
    info.time[this.#state]! += nanoseconds(now - this.#since);
    return info;
  }
}

function nanoseconds(ns: number): bigint {
  return BigInt(Math.trunc(ns));
}

/** update_runstate_area. An address that cannot be written is no error; the page tables in use may not map it. */
export function writeRunstateArea(vcpu: Vcpu, through: Vcpu = vcpu): void {
  if (vcpu.runstateArea !== 0n)
    through.guest.writeStruct(vcpu_runstate_info, vcpu.runstateArea, vcpu.runstate.info);
}
