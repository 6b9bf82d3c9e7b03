/** Kicks, sleep and the timer: none is lost, whoever sends it and whenever. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gpa, hasSoftCpu, kick, VCPU_EXIT } from '../../src/kvm/index.js';
import { addonProcess, addonWorker, endOf, messageOf } from './addon-worker.js';
import { DATA, EXIT_PORT, TinyGuest } from './tiny-guest.js';

beforeEach(({ skip }) => skip(!hasSoftCpu(), 'this build has no soft CPU'));

const MS = 1e6;
const now = () => Number(process.hrtime.bigint());
const open: TinyGuest[] = [];
afterEach(() => {
  for (const guest of open.splice(0)) guest.close();
});
function start(source: string): TinyGuest {
  const guest = new TinyGuest(source);
  open.push(guest);
  return guest;
}
const spin = () => start('spin: jmp spin');

/** A run that nothing ends would hang the test run: the timer is its limit. */
function runUntil(guest: TinyGuest, limitMs: number): { exit: number; ms: number } {
  const begin = performance.now();
  guest.vcpu.setTimer(now() + limitMs * MS);
  const exit = guest.vcpu.run();
  guest.vcpu.setTimer(0);
  return { exit, ms: performance.now() - begin };
}

describe('kick', () => {
  it('before run() makes it return at once, before any instruction, and once', () => {
    const guest = start(`inc %ebx; out %al, $${EXIT_PORT}`);
    const { rbx } = guest.vcpu.getState();
    for (let i = 0; i < 5; i++) kick(guest.vcpu.id);
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.KICK);
    expect(guest.vcpu.getState().rbx).toBe(rbx);
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
  });

  it('taken by wait() is not seen by run() again', () => {
    const guest = start(`again: out %al, $${EXIT_PORT}; jmp again`);
    kick(guest.vcpu.id);
    expect(guest.vcpu.wait(0)).toBe(true);
    expect(guest.vcpu.wait(0)).toBe(false);
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
  });

  it('from another thread ends a loop of one instruction', async () => {
    const guest = spin();
    const worker = addonWorker(
      `parentPort.once('message', () => setTimeout(() => addon.kickVcpu(workerData), 30));
       parentPort.postMessage('ready');`,
      guest.vcpu.id,
    );
    await messageOf(worker);
    worker.postMessage('go');
    const { exit, ms } = runUntil(guest, 5000);
    expect(exit).toBe(VCPU_EXIT.KICK);
    expect(ms).toBeLessThan(4000);
    await endOf(worker);
  });

  it('of ids that never were, or belong to nobody any more, is ignored', () => {
    const guest = spin();
    guest.vcpu.close();
    for (const id of [0, guest.vcpu.id, 4294967295]) kick(id);
  });
});

/**
 * A thread kicks, and kicks again only once the vCPU's thread has answered the kick before: a lost one stops both, and
 * the limit of the process shows it.
 */
function stress(guestCode: string, take: string): string {
  return `
    const rounds = 30000;
    if (!addon.SoftVcpu) process.exit(1);
    const memory = new addon.GuestMemory(1 << 20);
    const words = new Int32Array(memory.view(0, 4096));
    new Uint8Array(memory.view(0, 1 << 20)).set(${guestCode}, 0x1000);
    const vcpu = new addon.SoftVcpu(memory, 0x10, new Uint8Array(256));
    // 16-bit mode: the reset state with another start.
    const state = vcpu.getState();
    state[16] = 0x1000n; state[17] = 2n; state[33] = 0n;
    vcpu.setState(state);
    const source = 'const { workerData: d, parentPort } = require("node:worker_threads"); const addon = require(d.path);'
      + 'const words = new Int32Array(addon.GuestMemory.attach(d.memory).view(0, 4096));'
      + 'for (let i = 1; i <= d.rounds; i++) {'
      + '  if (i % 7 === 0) for (let k = 0; k < i % 300; k++) Math.sqrt(k);'
      + '  Atomics.store(words, 0, i); addon.kickVcpu(d.vcpu); while (Atomics.load(words, 1) < i); }';
    const path = Object.keys(require.cache).find((name) => name.endsWith('xenner.node'));
    new Worker(source, { eval: true, workerData: { path, memory: memory.id, vcpu: vcpu.id, rounds } });
    let answered = 0, other = 0;
    while (answered < rounds) {
      ${take}
      const sent = Atomics.load(words, 0);
      if (sent > answered) { answered = sent; Atomics.store(words, 1, sent); }
    }
    process.stdout.write('answered ' + answered);
  `;
}

describe('under stress from another thread', () => {
  const SPIN = '[0xeb, 0xfe]';
  const OUT_LOOP = '[0xe6, 0x10, 0xeb, 0xfc]';
  const cases = [
    { name: 'a spinning guest', guest: SPIN, take: 'if (vcpu.run() !== 2) continue;' },
    { name: 'a guest that exits all the time', guest: OUT_LOOP, take: 'while (vcpu.run() !== 2) other++;' },
    { name: 'a sleeping vCPU', guest: SPIN, take: 'if (!vcpu.wait(Infinity)) continue;' },
    {
      name: 'a vCPU that runs and sleeps in turn',
      guest: OUT_LOOP,
      take: 'const kicked = other++ % 2 ? vcpu.wait(1000) : vcpu.run() === 2; if (!kicked) continue;',
    },
    {
      name: 'a timer that fires as well',
      guest: SPIN,
      take: 'vcpu.setTimer(Number(process.hrtime.bigint()) + (other++ % 64) * 1000); vcpu.run();',
    },
  ];
  it.each(cases)('no kick is lost: $name', async ({ guest, take }) => {
    expect(await addonProcess(stress(guest, take), 60_000)).toBe('answered 30000');
  });
});

describe('wait', () => {
  it.each([0, 1, 1e5, 5 * MS])('for %d ns without a kick is false, and not early', (timeoutNs) => {
    const { vcpu } = spin();
    const begin = now();
    expect(vcpu.wait(timeoutNs)).toBe(false);
    expect(now() - begin).toBeGreaterThanOrEqual(timeoutNs);
  });

  it('for ever ends by a kick from another thread', async () => {
    const guest = spin();
    const worker = addonWorker(
      `parentPort.once('message', () => setTimeout(() => addon.kickVcpu(workerData), 20));
       parentPort.postMessage('ready');`,
      guest.vcpu.id,
    );
    await messageOf(worker);
    worker.postMessage('go');
    guest.vcpu.setTimer(now() + 5000 * MS);
    const begin = performance.now();
    expect(guest.vcpu.wait(Infinity)).toBe(true);
    expect(performance.now() - begin).toBeLessThan(4000);
    await endOf(worker);
  });

  it.each([-1, Number.NaN, '5', undefined])('wait(%s) is EINVAL', (timeoutNs) => {
    expect(() => spin().vcpu.wait(timeoutNs as number)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
});

describe('setTimer', () => {
  it('kicks run() at its deadline, not before', () => {
    const { exit, ms } = runUntil(spin(), 20);
    expect(exit).toBe(VCPU_EXIT.KICK);
    expect(ms).toBeGreaterThanOrEqual(20);
    expect(ms).toBeLessThan(2000);
  });

  it('ends wait() at its deadline, once', () => {
    const { vcpu } = spin();
    const deadline = now() + 10 * MS;
    vcpu.setTimer(deadline);
    expect(vcpu.wait(Infinity)).toBe(true);
    expect(now()).toBeGreaterThanOrEqual(deadline);
    expect(vcpu.wait(30 * MS)).toBe(false);
  });

  it('in the past kicks at once', () => {
    const { vcpu } = spin();
    vcpu.setTimer(1);
    expect(vcpu.run()).toBe(VCPU_EXIT.KICK);
    vcpu.setTimer(now() - 5);
    expect(vcpu.wait(1000 * MS)).toBe(true);
  });

  it('0 disarms', () => {
    const { vcpu } = spin();
    vcpu.setTimer(now() + 5 * MS);
    vcpu.setTimer(0);
    expect(vcpu.wait(20 * MS)).toBe(false);
  });

  it.each([
    ['later', 5, 40],
    ['earlier', 5000, 40],
  ])('moved %s fires at the new deadline only', (_name, first, second) => {
    const { vcpu } = spin();
    const begin = now();
    vcpu.setTimer(begin + first * MS);
    vcpu.setTimer(begin + second * MS);
    expect(vcpu.run()).toBe(VCPU_EXIT.KICK);
    const took = now() - begin;
    expect(took).toBeGreaterThanOrEqual(second * MS);
    expect(took).toBeLessThan(4000 * MS);
  });

  it('fires each time in a row', () => {
    const { vcpu } = spin();
    for (let i = 0; i < 200; i++) {
      const deadline = now() + 200_000;
      vcpu.setTimer(deadline);
      expect(i % 2 ? vcpu.run() : vcpu.wait(5000 * MS)).toBe(i % 2 ? VCPU_EXIT.KICK : true);
      expect(now()).toBeGreaterThanOrEqual(deadline);
    }
  });

  it.each([-1, Number.NaN, '5'])('setTimer(%s) is EINVAL', (deadlineNs) => {
    expect(() => spin().vcpu.setTimer(deadlineNs as number)).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });
});

describe('another thread', () => {
  const vcpuInWorker = (loop: string) => `
    const memory = new addon.GuestMemory(1 << 20);
    new Uint8Array(memory.view(0, 1 << 20)).set([0xeb, 0xfe], 0x1000);
    const vcpu = new addon.SoftVcpu(memory, 0x10, new Uint8Array(256));
    const state = vcpu.getState();
    state[16] = 0x1000n; state[17] = 2n; state[33] = 0n;
    vcpu.setState(state);
    parentPort.postMessage(vcpu.id);
    ${loop}`;

  it('that ends with an open vCPU and an armed timer leaves nothing to kick', async () => {
    const worker = addonWorker(
      vcpuInWorker('vcpu.setTimer(Number(process.hrtime.bigint()) + 2e7);'),
      undefined,
    );
    const id = (await messageOf(worker)) as number;
    await endOf(worker);
    await new Promise((resolve) => setTimeout(resolve, 30));
    kick(id);
  });

  it('in run() ends by terminate() and a kick', async () => {
    const worker = addonWorker(vcpuInWorker('for (;;) vcpu.run();'), undefined);
    const id = (await messageOf(worker)) as number;
    const ended = worker.terminate();
    kick(id);
    expect(await ended).toBe(1);
  });

  it.each(['vcpu.run()', 'vcpu.wait(Infinity)'])(
    'in %s does not keep a process from its exit',
    async (call) => {
      const source = `
      const path = Object.keys(require.cache).find((name) => name.endsWith('xenner.node'));
      const source = 'const { parentPort } = require("node:worker_threads");'
        + 'const addon = require(' + JSON.stringify(path) + ');' + ${JSON.stringify(vcpuInWorker(`for (;;) ${call};`))};
      new Worker(source, { eval: true }).once('message', () => setTimeout(() => {
        process.stdout.write('bye', () => process.exit(0));
      }, 50));
    `;
      expect(await addonProcess(source, 10_000)).toBe('bye');
    },
  );
});

describe('shared memory', () => {
  it('what the guest stored before an exit is seen after it', () => {
    const guest = start(
      `xor %ebx, %ebx; again: inc %ebx; mov %ebx, ${DATA}; out %al, $${EXIT_PORT}; jmp again`,
    );
    for (let i = 1; i <= 1000; i++) {
      expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
      expect(guest.memory.readU32(gpa(DATA))).toBe(i);
    }
  });
});
