/** KvmVcpuThreads: vCPUs that run by themselves, and one thread that serves their exits. */
import { beforeEach, describe, expect, it } from 'vitest';
import { loadAddon } from '../../src/kvm/addon.js';
import { KVM_EXITS, kickVcpu } from '../../src/kvm/api/index.js';
import { EXIT_ERROR, VCPU_THREADS } from '../../src/kvm/api/native.js';
import { CODE, Guest, HLT, kickedRounds, noKvm, OUT_FOREVER, SPIN } from './kvm-guest.js';

const addon = loadAddon();
const { KICKED, TIMED_OUT } = VCPU_THREADS;
const MS = 1e6;
const reason = noKvm();
beforeEach(({ skip }) => skip(reason !== undefined, reason));

const now = () => Number(process.hrtime.bigint());
const threadsOf = (guest: Guest) => new addon.KvmVcpuThreads(guest.vcpus.map((vcpu) => vcpu.native));
const exitOf = (guest: Guest, index: number) =>
  new DataView(guest.vcpus[index]!.page.buffer).getUint32(8, true);

describe.each([
  ['one vCPU', 1],
  ['three vCPUs', 3],
])('%s', (_, count) => {
  const guestOf = (code: string) => new Guest(Array.from({ length: count }, () => code));

  it('exits are told by index, and each vCPU goes on when it is resumed', () => {
    const guest = guestOf(OUT_FOREVER);
    const threads = threadsOf(guest);
    const seen = new Array<number>(count).fill(0);
    for (let i = 0; i < count; i++) threads.resume(i);
    let index = threads.wait(Infinity);
    for (let i = 0; i < 300 || seen.includes(0); i++) {
      expect(exitOf(guest, index)).toBe(KVM_EXITS.KVM_EXIT_IO.number);
      guest.vcpus[index]!.getRegs();
      seen[index]!++;
      index = threads.run(index);
    }
    expect(() => threads.resume(count)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    threads.close();
  });

  it('a vCPU that is not parked is not resumed again', () => {
    const guest = guestOf(SPIN);
    const threads = threadsOf(guest);
    threads.resume(0);
    expect(() => threads.resume(0)).toThrow(/resumed already/);
    expect(() => threads.run(0)).toThrow(/resumed already/);
    threads.close();
    expect(guest.vcpu.getRegs().rflags).toBeDefined();
  });

  it('a vCPU is paused between two instructions, or has exited before', () => {
    const guest = guestOf(OUT_FOREVER);
    const threads = threadsOf(guest);
    const last = count - 1;
    const offset = () => guest.vcpus[last]!.getRegs().rip - BigInt(CODE + 256 * last);
    expect(() => threads.pause(last)).toThrow(/is not resumed/);
    let paused = 0;
    for (let i = 0; i < 50; i++) {
      threads.resume(last);
      const atOnce = i % 2 === 0;
      if (!atOnce && count > 1) while (exitOf(guest, last) !== KVM_EXITS.KVM_EXIT_IO.number);
      if (threads.pause(last)) {
        paused++;
        // Its OUT is complete, or has not begun.
        expect([0n, 2n]).toContain(offset());
      } else expect(exitOf(guest, last)).toBe(KVM_EXITS.KVM_EXIT_IO.number);
      expect(threads.wait(0)).toBe(TIMED_OUT);
    }
    if (count === 1) expect(paused).toBeGreaterThan(0);
    threads.resume(last);
    expect(threads.wait(Infinity)).toBe(last);
    threads.close();
  });

  it('a vCPU in the guest is paused, and goes on', () => {
    const guest = guestOf(SPIN);
    const threads = threadsOf(guest);
    for (let i = 0; i < 20; i++) {
      for (let vcpu = 0; vcpu < count; vcpu++) threads.resume(vcpu);
      if (i % 2 === 0) expect(threads.wait(MS)).toBe(TIMED_OUT);
      for (let vcpu = 0; vcpu < count; vcpu++) {
        expect(threads.pause(vcpu)).toBe(true);
        expect(guest.vcpus[vcpu]!.getRegs().rip).toBe(BigInt(CODE + 256 * vcpu));
      }
    }
    threads.close();
  });

  it('time-outs, the timer and kicks end a wait, whether a guest runs or not', () => {
    const threads = threadsOf(guestOf(SPIN));
    for (const running of [false, true]) {
      if (running) threads.resume(0);
      expect(threads.wait(0)).toBe(TIMED_OUT);
      const start = now();
      expect(threads.wait(20 * MS)).toBe(TIMED_OUT);
      expect(now() - start).toBeGreaterThanOrEqual(20 * MS);
      kickVcpu(threads.id);
      expect(threads.wait(Infinity)).toBe(KICKED);
      threads.setTimer(now() + 20 * MS);
      expect(threads.wait(Infinity)).toBe(KICKED);
      expect(now() - start).toBeGreaterThanOrEqual(40 * MS);
    }
    threads.close();
  });

  it("a kick of a vCPU's own id is an exit of that vCPU", () => {
    const guest = guestOf(SPIN);
    const threads = threadsOf(guest);
    for (let i = 0; i < count; i++) threads.resume(i);
    kickVcpu(guest.vcpus[count - 1]!.id);
    expect(threads.wait(Infinity)).toBe(count - 1);
    expect(exitOf(guest, count - 1)).toBe(KVM_EXITS.KVM_EXIT_INTR.number);
    threads.close();
  });

  it('no kick is lost', async () => {
    const threads = threadsOf(guestOf(OUT_FOREVER));
    for (let i = 0; i < count; i++) threads.resume(i);
    await kickedRounds(threads.id, 200, () => {
      for (let index = threads.wait(Infinity); index !== KICKED; index = threads.run(index));
    });
    threads.close();
  });

  it('a vCPU that is closed, or runs elsewhere, is an exit with an error', async () => {
    const guest = guestOf(SPIN);
    const threads = threadsOf(guest);
    const elsewhere = guest.vcpu.runAsync();
    threads.resume(0);
    expect(threads.wait(Infinity)).toBe(0);
    expect(threads.error(0)).toBe('KVM_RUN: vCPU is running elsewhere');
    kickVcpu(guest.vcpu.id);
    await elsewhere;
    guest.vcpu.close();
    threads.resume(0);
    expect(threads.wait(Infinity)).toBe(0);
    expect(exitOf(guest, 0)).toBe(EXIT_ERROR);
    expect(threads.error(0)).toBe('KVM_RUN: vCPU is closed');
    threads.close();
  });
});

it('a closed set of threads leaves its vCPUs to be run', () => {
  const guest = new Guest([OUT_FOREVER, HLT]);
  const threads = threadsOf(guest);
  threads.resume(0);
  threads.resume(1);
  threads.close();
  threads.close();
  expect(guest.vcpus[0]!.run().exit_reason).toBe('KVM_EXIT_IO');
  expect(() => threads.wait(0)).toThrow(expect.objectContaining({ code: 'EBADF' }));
});
