/** SystemClock: what a guest computes from vcpu_time_info is the host's monotonic time since the start. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { clockSample, GuestMemory, gpa } from '../../../src/kvm/index.js';
import { shared_info, vcpu_info, vcpu_time_info } from '../../../src/xenner/abi/xen.js';
import { SystemClock } from '../../../src/xenner/domain/clock.js';
import { Area, domain_area } from '../../../src/xenner/monitor/vcpu-area.js';

const INFO = gpa(0x1000);
const AREA = gpa(0x2000);
const SHARED = gpa(0x3000);
const TIME_OFFSET = vcpu_info.offsetof('time');
const MS = 1_000_000;

let memory: GuestMemory;
let area: Area<typeof domain_area>;
let clock: SystemClock;

beforeEach(() => {
  memory = GuestMemory.create(0x10000);
  area = new Area(memory, AREA, domain_area);
  clock = new SystemClock();
  clock.start();
});

afterEach(() => memory.close());

/** pvclock_clocksource_read() of a Linux guest. */
function guestReads(tsc: bigint): number {
  const time = vcpu_time_info.decode(memory.copyOut(gpa(INFO + TIME_OFFSET), vcpu_time_info.size));
  expect(time.version % 2).toBe(0);
  const delta = tsc - time.tsc_timestamp;
  const shifted = time.tsc_shift < 0 ? delta >> BigInt(-time.tsc_shift) : delta << BigInt(time.tsc_shift);
  return Number(time.system_time + ((shifted * BigInt(time.tsc_to_system_mul)) >> 32n));
}

function publish(): void {
  clock.publish(memory, area, [gpa(INFO + TIME_OFFSET)]);
}

describe('system time', () => {
  it('starts near zero and is what the guest computes', () => {
    publish();
    const before = clock.now();
    const guest = guestReads(clockSample().tsc);
    const after = clock.now();
    expect(before).toBeGreaterThanOrEqual(0);
    expect(guest).toBeGreaterThanOrEqual(before - 2);
    expect(guest).toBeLessThanOrEqual(after + 2);
  });

  it('goes on without a step when an epoch begins', () => {
    publish();
    for (let i = 0; i < 50; i++) {
      const { tsc } = clockSample();
      const before = guestReads(tsc);
      clock.calibrate();
      publish();
      expect(guestReads(clockSample().tsc)).toBeGreaterThanOrEqual(before);
    }
  });

  it('keeps the rate of the host', async () => {
    const system = clock.now();
    const host = Number(clockSample().monotonicNs);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const elapsed = Number(clockSample().monotonicNs) - host;
    expect(Math.abs(clock.now() - system - elapsed)).toBeLessThan(elapsed * 1e-3);
  });

  it('converts to the monotonic clock', () => {
    const now = Number(clockSample().monotonicNs);
    const at = clock.monotonicAt(clock.now() + 100 * MS);
    expect(at - now).toBeGreaterThan(99 * MS);
    expect(at - now).toBeLessThan(120 * MS);
  });

  it('converts to the monotonic clock in every epoch', () => {
    for (let i = 0; i < 50; i++) {
      const before = Number(clockSample().monotonicNs);
      const at = clock.monotonicAt(clock.now());
      expect(at).toBeGreaterThan(before - MS);
      expect(at).toBeLessThan(Number(clockSample().monotonicNs) + MS);
      clock.calibrate();
    }
  });

  it('gives the monitor the same numbers, under an even version', () => {
    publish();
    const time = vcpu_time_info.decode(memory.copyOut(gpa(INFO + TIME_OFFSET), vcpu_time_info.size));
    expect(area.low('tsc_version') % 2).toBe(0);
    expect(area.get('tsc_timestamp')).toBe(time.tsc_timestamp);
    expect(area.get('system_time')).toBe(time.system_time);
    expect(Number(area.get('tsc_to_system_mul'))).toBe(time.tsc_to_system_mul);
    expect(BigInt.asIntN(64, area.get('tsc_shift'))).toBe(BigInt(time.tsc_shift));
  });
});

describe('the wall clock', () => {
  it('is the time of day when system time was zero', () => {
    clock.publishWallclock(memory, SHARED);
    const at = (member: string) => gpa(SHARED + shared_info.offsetof(member));
    expect(memory.readU32(at('wc_version'))).toBe(2);
    const wallMs = memory.readU32(at('wc_sec')) * 1000 + memory.readU32(at('wc_nsec')) / MS;
    expect(Math.abs(Date.now() - clock.now() / MS - wallMs)).toBeLessThan(50);
  });
});
