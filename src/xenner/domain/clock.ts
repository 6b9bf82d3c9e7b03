/** System time: what Xen's vcpu_time_info tells a guest, kept in step with the host's monotonic clock. */
import { type ClockSample, clockSample, type Gpa, type GuestMemory, gpa, hostTsc } from '../../kvm/index.js';
import { shared_info, vcpu_time_info, XEN_PVCLOCK_TSC_STABLE_BIT } from '../abi/xen.js';
import type { DomainArea } from '../monitor/vcpu-area.js';

const NS_PER_S = 1_000_000_000n;
/** Xen calibrates once a second (time.c, EPOCH). */
const EPOCH_NS = 1_000_000_000;
const TWO_32 = 2 ** 32;
/** The TSC's rate is measured over at least this long. */
const MIN_CALIBRATION_NS = 2_000_000;

/** A scale as the guest gets it: ns = ((ticks << shift) * mul) >> 32. */
interface Scale {
  mul: number;
  shift: number;
}

function scaleOf(nsPerTick: number): Scale {
  let shift = 0;
  let fraction = nsPerTick;
  for (; fraction >= 1; fraction /= 2) shift++;
  for (; fraction < 0.5; fraction *= 2) shift--;
  return { mul: Math.floor(fraction * TWO_32), shift };
}

/** Both are of the same moment. */
export interface SavedClock {
  readonly systemNs: number;
  /** The guest's. */
  readonly tsc: bigint;
}

const TIME = {
  version: vcpu_time_info.offsetof('version'),
  tscTimestamp: vcpu_time_info.offsetof('tsc_timestamp'),
  systemTime: vcpu_time_info.offsetof('system_time'),
  mul: vcpu_time_info.offsetof('tsc_to_system_mul'),
  shift: vcpu_time_info.offsetof('tsc_shift'),
  flags: vcpu_time_info.offsetof('flags'),
};

export class SystemClock {
  readonly #first: ClockSample;
  #origin: ClockSample;
  /** System time at #origin, ns. */
  #base = 0;
  #scale: Scale = { mul: 0, shift: 0 };
  #nsPerTick = 0;
  /** ns of the host's clock in a tick. */
  #hostNsPerTick = 0;
  #started = false;
  /** Guest TSC = host TSC + this, modulo 2^64: not 0 once a guest has come from another time or host. */
  #tscOffset = 0n;

  /** Takes the first of the two samples that the TSC's rate comes from: make it early. */
  constructor() {
    this.#first = clockSample();
    this.#origin = this.#first;
  }

  /** System time 0 is now. */
  start(): void {
    this.#begin();
  }

  /** System time and the TSC go on from where they were when the guest was saved. */
  resume({ systemNs, tsc }: SavedClock): void {
    this.#begin();
    this.#base = systemNs;
    this.#tscOffset = BigInt.asUintN(64, tsc - this.#origin.tsc);
  }

  #begin(): void {
    let now = clockSample();
    while (Number(now.monotonicNs - this.#first.monotonicNs) < MIN_CALIBRATION_NS) now = clockSample();
    this.#setRate(this.#measure(now), 1);
    this.#origin = now;
    this.#started = true;
  }

  /** For a save file, and for resume(). */
  get saved(): SavedClock {
    const { tsc } = clockSample();
    return { systemNs: this.#at(tsc), tsc: this.#guestTsc(tsc) };
  }

  /** For CpuState. */
  get tscOffset(): bigint {
    return this.#tscOffset;
  }

  /** System time in ns. */
  now(): number {
    return this.#started ? this.#at(hostTsc()) : 0;
  }

  /** The host's CLOCK_MONOTONIC, ns, when system time will be `systemNs`. */
  monotonicAt(systemNs: number): number {
    const ticks = this.#started ? (systemNs - this.#base) / this.#nsPerTick : 0;
    return Number(this.#origin.monotonicNs) + ticks * this.#hostNsPerTick;
  }

  /** Whether an epoch is over, so that calibrate() and publish() are due. */
  get due(): boolean {
    return Number(hostTsc() - this.#origin.tsc) * this.#hostNsPerTick >= EPOCH_NS;
  }

  /** Begins a new epoch: time goes on without a step, at a rate that takes back in one epoch what it was off by. */
  calibrate(): void {
    const now = clockSample();
    const system = this.#at(now.tsc);
    const elapsed = Number(now.monotonicNs - this.#origin.monotonicNs);
    const error = elapsed - (system - this.#base);
    const slew = Math.max(-1e-3, Math.min(1e-3, error / EPOCH_NS));
    this.#setRate(this.#measure(now), 1 + slew);
    this.#base = system;
    this.#origin = now;
  }

  /** Writes the domain area's copy, for the monitor, and each vcpu_time_info; versions are odd while a copy changes. */
  publish(memory: GuestMemory, area: DomainArea, timeInfos: readonly Gpa[]): void {
    const version = (area.low('tsc_version') + 1) >>> 0;
    area.setLow('tsc_version', version);
    area.set('tsc_timestamp', this.#guestTsc(this.#origin.tsc));
    area.set('system_time', BigInt(Math.round(this.#base)));
    area.setLow('tsc_to_system_mul', this.#scale.mul);
    area.set('tsc_shift', BigInt.asUintN(64, BigInt(this.#scale.shift)));
    area.setLow('tsc_version', (version + 1) >>> 0);
    for (const at of timeInfos) this.#writeTimeInfo(memory, at);
  }

  /** The wall clock when system time was 0 (shared_info.wc_*). */
  publishWallclock(memory: GuestMemory, sharedInfo: Gpa): void {
    const at = (member: string) => gpa(sharedInfo + shared_info.offsetof(member));
    const now = clockSample();
    const zero = now.realtimeNs - BigInt(Math.round(this.#at(now.tsc)));
    const version = memory.readU32(at('wc_version'));
    memory.writeU32(at('wc_version'), (version | 1) >>> 0);
    const seconds = zero / NS_PER_S;
    memory.writeU32(at('wc_sec'), Number(seconds & 0xffffffffn));
    memory.writeU32(at('wc_sec_hi'), Number(seconds >> 32n));
    memory.writeU32(at('wc_nsec'), Number(zero % NS_PER_S));
    memory.writeU32(at('wc_version'), ((version | 1) + 1) >>> 0);
  }

  #writeTimeInfo(memory: GuestMemory, at: Gpa): void {
    const version = memory.readU32(gpa(at + TIME.version)) | 1;
    memory.writeU32(gpa(at + TIME.version), version >>> 0);
    memory.writeU64(gpa(at + TIME.tscTimestamp), this.#guestTsc(this.#origin.tsc));
    memory.writeU64(gpa(at + TIME.systemTime), BigInt(Math.round(this.#base)));
    memory.writeU32(gpa(at + TIME.mul), this.#scale.mul);
    memory.writeU8(gpa(at + TIME.shift), this.#scale.shift & 0xff);
    memory.writeU8(gpa(at + TIME.flags), XEN_PVCLOCK_TSC_STABLE_BIT);
    memory.writeU32(gpa(at + TIME.version), (version + 1) >>> 0);
  }

  /** ns a tick, over all the time since the first sample. */
  #measure(now: ClockSample): number {
    return Number(now.monotonicNs - this.#first.monotonicNs) / Number(now.tsc - this.#first.tsc);
  }

  #setRate(hostNsPerTick: number, faster: number): void {
    this.#hostNsPerTick = hostNsPerTick;
    this.#scale = scaleOf(hostNsPerTick * faster);
    // What the guest computes from mul and shift, not what was measured.
    this.#nsPerTick = (this.#scale.mul / TWO_32) * 2 ** this.#scale.shift;
  }

  #guestTsc(tsc: bigint): bigint {
    return BigInt.asUintN(64, tsc + this.#tscOffset);
  }

  #at(tsc: bigint): number {
    return this.#base + Number(tsc - this.#origin.tsc) * this.#nsPerTick;
  }
}
