/** vcpu_op: timers, areas of memory, NMIs, going up and down. */
import { afterEach, describe, expect, it } from 'vitest';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { EFAULT, EINVAL, ENOENT, ENOSYS, ENXIO } from '../../../src/xenner/abi/errno.js';
import { SHUTDOWN_poweroff } from '../../../src/xenner/abi/sched.js';
import * as abi from '../../../src/xenner/abi/vcpu.js';
import { vcpu_info, vcpu_time_info } from '../../../src/xenner/abi/xen.js';
import { vcpu_op } from '../../../src/xenner/hypercall/24-vcpu-op.js';
import * as monitor from '../../../src/xenner/monitor/vcpu-area.js';
import { BAD_POINTERS, type Guest, guests, HOLE_VA, NOW, READ_ONLY_VA, UNMAPPED_VA } from './guest.js';
import { L1_MFN, NR_PAGES, va } from './harness.js';

const { open, closeAll } = guests();
afterEach(closeAll);

const OPERATIONS = Array.from({ length: 14 }, (_, cmd) => cmd);

describe('a vCPU that does not exist', () => {
  it.each([...OPERATIONS, 99])('operation %i', (cmd) => {
    const guest = open({ vcpus: 2 });
    expect([2, 8191, 0xffffffff].map((id) => guest.result(vcpu_op, [cmd, id, UNMAPPED_VA]))).toEqual([
      -ENOENT,
      -ENOENT,
      -ENOENT,
    ]);
  });
});

it.each([14, 99, -1])('has no operation %i', (cmd) => {
  expect(open().result(vcpu_op, [cmd, 0, 0])).toBe(-ENOSYS);
});

describe('timers', () => {
  const periodic = (guest: Guest, period_ns: bigint, vcpu = 0) =>
    guest.result(vcpu_op, [
      abi.VCPUOP_set_periodic_timer,
      vcpu,
      guest.put(abi.vcpu_set_periodic_timer, { period_ns }),
    ]);
  const singleshot = (guest: Guest, timeout_abs_ns: bigint, flags = 0, vcpu = 0) =>
    guest.result(vcpu_op, [
      abi.VCPUOP_set_singleshot_timer,
      vcpu,
      guest.put(abi.vcpu_set_singleshot_timer, { timeout_abs_ns, flags }),
    ]);

  it.each([
    [0n, -EINVAL],
    [999_999n, -EINVAL],
    [1_000_000n, 0],
    [2n ** 62n - 1n, 0],
    [2n ** 62n, -EINVAL],
    [2n ** 64n - 1n, -EINVAL],
  ])('a period of %s ns: %i', (period, expected) => {
    const guest = open();
    expect(periodic(guest, period)).toBe(expected);
    expect(guest.vcpus[0]!.periodNs).toBe(expected === 0 ? Number(period) : 0);
  });
  it('a period may be another vCPU’s, and ends', () => {
    const guest = open({ vcpus: 2 });
    expect([periodic(guest, 4_000_000n, 1), guest.vcpus[1]!.periodNs]).toEqual([0, 4_000_000]);
    expect(guest.result(vcpu_op, [abi.VCPUOP_stop_periodic_timer, 1, 0])).toBe(0);
    expect(guest.vcpus[1]!.periodNs).toBe(0);
  });
  it.each([
    ['in the future', BigInt(NOW) + 1n, 0, NOW + 1],
    ['in the past fires', BigInt(NOW) - 1n, 0, NOW - 1],
    ['0 fires, and does not stop it', 0n, 0, 1],
    ['one that wrapped fires', 2n ** 63n, 0, 1],
    ['in the past, when only the future will do: fires too', BigInt(NOW) - 1n, 1, NOW - 1],
  ])('one shot %s', (_name, timeout, flags, deadline) => {
    const guest = open();
    expect(singleshot(guest, timeout, flags)).toBe(0);
    expect(guest.timers).toEqual([[0, deadline]]);
  });
  it('one shot is stopped', () => {
    const guest = open();
    expect(guest.result(vcpu_op, [abi.VCPUOP_stop_singleshot_timer, 0, 0])).toBe(0);
    expect(guest.timers).toEqual([[0, 0]]);
  });
  it('one shot belongs to the vCPU itself', () => {
    const guest = open({ vcpus: 2 });
    expect(singleshot(guest, 1n, 0, 1)).toBe(-EINVAL);
    expect(guest.result(vcpu_op, [abi.VCPUOP_stop_singleshot_timer, 1, 0])).toBe(-EINVAL);
    expect(guest.timers).toEqual([]);
  });
});

describe('register_vcpu_info', () => {
  const register = (guest: Guest, mfn: number | bigint, offset = 0, vcpu = 0) =>
    guest.result(vcpu_op, [
      abi.VCPUOP_register_vcpu_info,
      vcpu,
      guest.put(abi.vcpu_register_vcpu_info, { mfn: BigInt(mfn), offset }),
    ]);
  const MFN = 300;

  it('moves what was there, and everything is pending', () => {
    const guest = open();
    const [vcpu] = guest.vcpus;
    const before = { evtchn_upcall_mask: 1, arch: { cr2: 77n }, time: { version: 6, system_time: 5n } };
    guest.memory.copyIn(vcpu!.vcpuInfo, vcpu_info.create({ ...before, evtchn_pending_sel: 2n }));
    expect(register(guest, MFN, 64)).toBe(0);
    const at = MFN * 4096 + 64;
    expect(vcpu_info.decode(guest.memory.copyOut(gpa(at), vcpu_info.size))).toMatchObject({
      ...before,
      evtchn_upcall_pending: 1,
      evtchn_pending_sel: 2n ** 64n - 1n,
    });
    expect([vcpu!.vcpuInfo, vcpu!.area.get('vcpu_info')]).toEqual([at, monitor.DIRECT_VA + BigInt(at)]);
  });
  it('keeps the page writable: it becomes no page table', () => {
    const guest = open();
    const free = 600;
    register(guest, free);
    expect(guest.domain.pages.typeOf(free)).toBe(monitor.PGT_writable_page);
  });
  it('happens once', () => {
    const guest = open();
    expect([register(guest, MFN), register(guest, MFN + 1)]).toEqual([0, -EINVAL]);
  });
  it('is for the vCPU itself or one that is down', () => {
    const guest = open({ vcpus: 3 });
    guest.vcpus[1]!.online = true;
    expect([register(guest, MFN, 0, 1), register(guest, MFN, 64, 2)]).toEqual([-EINVAL, 0]);
    expect(guest.vcpus[2]!.area.get('vcpu_info')).toBe(monitor.DIRECT_VA + BigInt(MFN * 4096 + 64));
  });
  it.each([
    ['across the page', MFN, 4096 - 56, -ENXIO],
    ['not aligned', MFN, 4, -ENXIO],
    ['far beyond', MFN, 0xfffffff8, -ENXIO],
    ['a page table', L1_MFN, 0, -EINVAL],
    ['a frame of Xen', NR_PAGES, 0, -EINVAL],
    ['no frame', 2n ** 64n - 1n, 0, -EINVAL],
    ['a number that a double cannot hold', 2n ** 53n + 1n, 0, -EINVAL],
  ])('refuses %s', (_name, mfn, offset, expected) => {
    const guest = open();
    const before = guest.vcpus[0]!.vcpuInfo;
    expect(register(guest, mfn, offset)).toBe(expected);
    expect([guest.vcpus[0]!.vcpuInfo, guest.vcpus[0]!.vcpuInfoMoved]).toEqual([before, false]);
  });
  it('refuses a frame that was given up', () => {
    const guest = open();
    guest.domain.freeFrames.give(600);
    expect(register(guest, 600)).toBe(-EINVAL);
  });
  it('takes the last place in a page', () => {
    expect(register(open(), MFN, 4096 - 64)).toBe(0);
  });
});

describe('runstate', () => {
  const get = (guest: Guest, vcpu: number) => {
    const at = guest.room(64);
    expect(guest.result(vcpu_op, [abi.VCPUOP_get_runstate_info, vcpu, at])).toBe(0);
    return guest.get(abi.vcpu_runstate_info, at);
  };
  it('is running, or offline, up to now', () => {
    const guest = open({ vcpus: 2 });
    expect([get(guest, 0), get(guest, 1)]).toEqual([
      { state: abi.RUNSTATE_running, state_entry_time: 0n, time: [BigInt(NOW), 0n, 0n, 0n] },
      { state: abi.RUNSTATE_offline, state_entry_time: 0n, time: [0n, 0n, 0n, BigInt(NOW)] },
    ]);
  });
  it('adds up', () => {
    const guest = open();
    const { runstate } = guest.vcpus[0]!;
    runstate.change(abi.RUNSTATE_offline, 100);
    runstate.change(abi.RUNSTATE_running, 1000.75);
    expect(get(guest, 0)).toEqual({
      state: abi.RUNSTATE_running,
      state_entry_time: 1000n,
      time: [100n + BigInt(NOW) - 1000n, 0n, 0n, 900n],
    });
    runstate.change(abi.RUNSTATE_offline, 2000);
    expect(runstate.info).toMatchObject({ state: abi.RUNSTATE_offline, time: [1100n, 0n, 0n, 900n] });
  });
  it("is the monitor's to keep, whatever it says", () => {
    const guest = open();
    guest.vcpus[0]!.area.words('runstate').set([0xffff_ffff_ffff_fffen, 5n, 1n, 2n, 3n, 4n]);
    expect(get(guest, 0)).toEqual({
      state: abi.RUNSTATE_blocked,
      state_entry_time: 5n,
      time: [1n, 2n, 3n + BigInt(NOW) - 5n, 4n],
    });
  });
  it('is written to an area', () => {
    const guest = open();
    const [vcpu] = guest.vcpus;
    const area = guest.room(64);
    vcpu!.guest.write(area, new Uint8Array(48).fill(0xff));
    const arg = guest.put(abi.vcpu_register_runstate_memory_area, { addr: area });
    expect(guest.result(vcpu_op, [abi.VCPUOP_register_runstate_memory_area, 0, arg])).toBe(0);
    const zero = { state: abi.RUNSTATE_running, state_entry_time: 0n, time: [0n, 0n, 0n, 0n] };
    expect(guest.get(abi.vcpu_runstate_info, area)).toEqual(zero);
  });
  it.each([
    ['in the hole', HOLE_VA, -EFAULT],
    ['not canonical', 1n << 63n, -EFAULT],
    ['unmapped: no error', UNMAPPED_VA, 0],
    ['read-only: no error', READ_ONLY_VA, 0],
    ['none', 0n, 0],
  ])('an area %s', (_name, addr, expected) => {
    const guest = open();
    const arg = guest.put(abi.vcpu_register_runstate_memory_area, { addr });
    expect(guest.result(vcpu_op, [abi.VCPUOP_register_runstate_memory_area, 0, arg])).toBe(expected);
  });
});

describe('register_vcpu_time_memory_area', () => {
  const register = (guest: Guest, addr: bigint) =>
    guest.result(vcpu_op, [
      abi.VCPUOP_register_vcpu_time_memory_area,
      0,
      guest.put(abi.vcpu_register_time_memory_area, { addr }),
    ]);
  const MFN = 320;

  it('copies the time there, and holds the page', () => {
    const guest = open();
    const time = {
      version: 4,
      tsc_timestamp: 9n,
      system_time: 8n,
      tsc_to_system_mul: 7,
      tsc_shift: -1,
      flags: 1,
    };
    guest.memory.copyIn(guest.vcpus[0]!.vcpuInfo, vcpu_info.create({ time }));
    expect(register(guest, va(MFN * 4096))).toBe(0);
    expect(guest.get(vcpu_time_info, va(MFN * 4096))).toEqual(time);
    expect(guest.vcpus[0]!.timeArea).toBe(MFN * 4096);
  });
  it('lets go of the page', () => {
    const guest = open();
    const info = () => guest.memory.readU32(gpa(guest.domain.pageInfo + MFN * 8));
    const before = info();
    register(guest, va(MFN * 4096));
    expect(info()).toBe(before + monitor.PGT_count_one);
    expect([register(guest, 0n), info(), guest.vcpus[0]!.timeArea]).toEqual([0, before, undefined]);
  });
  it.each([
    ['in the hole', HOLE_VA, -EFAULT],
    ['unmapped', UNMAPPED_VA, 0],
    ['read-only', READ_ONLY_VA, 0],
    ['across a page', va(MFN * 4096 - 16), 0],
    ['not aligned', va(MFN * 4096 + 4), 0],
  ])('%s: nothing is kept', (_name, addr, expected) => {
    const guest = open();
    register(guest, va(MFN * 4096));
    expect(register(guest, addr)).toBe(expected);
    expect(guest.vcpus[0]!.timeArea).toBe(expected === 0 ? undefined : MFN * 4096);
  });
});

describe('up and down', () => {
  const op = (guest: Guest, cmd: number, vcpu: number) => guest.result(vcpu_op, [cmd, vcpu, 0]);
  it('tells who is up', () => {
    const guest = open({ vcpus: 2 });
    expect([op(guest, abi.VCPUOP_is_up, 0), op(guest, abi.VCPUOP_is_up, 1)]).toEqual([1, 0]);
  });
  it('needs registers before it goes up', () => {
    const guest = open({ vcpus: 2 });
    expect(op(guest, abi.VCPUOP_up, 1)).toBe(-EINVAL);
    guest.vcpus[1]!.initialised = true;
    expect([op(guest, abi.VCPUOP_up, 1), op(guest, abi.VCPUOP_is_up, 1)]).toEqual([0, 1]);
    expect([op(guest, abi.VCPUOP_down, 0), op(guest, abi.VCPUOP_is_up, 0), guest.shutdowns]).toEqual([
      0,
      0,
      [],
    ]);
  });
  it('powers off with the last one', () => {
    const guest = open({ vcpus: 2 });
    expect([op(guest, abi.VCPUOP_down, 0), guest.shutdowns]).toEqual([0, [SHUTDOWN_poweroff]]);
  });
  it('tells nobody where it runs', () => {
    expect(op(open(), abi.VCPUOP_get_physid, 0)).toBe(-EINVAL);
  });
});

describe('pointers', () => {
  const reading = [
    abi.VCPUOP_register_runstate_memory_area,
    abi.VCPUOP_set_periodic_timer,
    abi.VCPUOP_set_singleshot_timer,
    abi.VCPUOP_register_vcpu_info,
    abi.VCPUOP_register_vcpu_time_memory_area,
    abi.VCPUOP_initialise,
    abi.VCPUOP_get_runstate_info,
  ];
  it.each(reading)('operation %i on what cannot be read', (cmd) => {
    const guest = open({ vcpus: 2 });
    const vcpu = cmd === abi.VCPUOP_initialise ? 1 : 0;
    expect(BAD_POINTERS.map((at) => guest.result(vcpu_op, [cmd, vcpu, at]))).toEqual(
      BAD_POINTERS.map(() => -EFAULT),
    );
  });
  it('get_runstate_info on what cannot be written', () => {
    expect(open().result(vcpu_op, [abi.VCPUOP_get_runstate_info, 0, READ_ONLY_VA])).toBe(-EFAULT);
  });
});
