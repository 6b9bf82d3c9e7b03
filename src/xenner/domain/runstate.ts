/**
 * How a vCPU spends its time (vcpu_runstate_change in xen/common/sched/core.c), and the guest's copy of that. The account
 * lies in the vCPU area: the monitor keeps it while the vCPU runs and sleeps, this while it is down.
 */
import { type RUNSTATE_offline, type RUNSTATE_running, vcpu_runstate_info } from '../abi/vcpu.js';
import type { VcpuArea } from '../monitor/vcpu-area.js';
import type { Vcpu } from './vcpu.js';

const NR_STATES = 4;
/** In struct runstate, in words. */
const STATE = 0;
const ENTRY_TIME = 1;
const TIME = 2;

type RunstateInfo = ReturnType<typeof vcpu_runstate_info.decode>;

/** Times are system time, ns. What it tells is the guest's to falsify. */
export class Runstate {
  readonly #words: BigUint64Array;

  constructor(area: VcpuArea) {
    this.#words = area.words('runstate');
  }

  /** Of a vCPU that does not run. */
  change(state: typeof RUNSTATE_running | typeof RUNSTATE_offline, now: number): void {
    const words = this.#words;
    const spent = TIME + this.#state;
    words[spent] = words[spent]! + nanoseconds(now) - words[ENTRY_TIME]!;
    words[STATE] = BigInt(state);
    words[ENTRY_TIME] = nanoseconds(now);
  }

  /** As an area in guest memory has it: a reader adds the time since state_entry_time. */
  get info(): RunstateInfo {
    const words = this.#words;
    return {
      state: this.#state,
      state_entry_time: words[ENTRY_TIME]!,
      time: Array.from(words.subarray(TIME, TIME + NR_STATES)),
    };
  }

  /** VCPUOP_get_runstate_info: with the time in the present state. */
  infoAt(now: number): RunstateInfo {
    const info = this.info;
    info.time[info.state] = BigInt.asUintN(
      64,
      info.time[info.state]! + nanoseconds(now) - info.state_entry_time,
    );
    return info;
  }

  get #state(): number {
    return Number(this.#words[STATE]! & 3n);
  }
}

function nanoseconds(ns: number): bigint {
  return BigInt(Math.trunc(ns));
}

/** update_runstate_area. An address that cannot be written is no error; the page tables in use may not map it. */
export function writeRunstateArea(vcpu: Vcpu, through: Vcpu): void {
  through.guest.writeStruct(vcpu_runstate_info, vcpu.area.get('runstate_area'), vcpu.runstate.info);
}
