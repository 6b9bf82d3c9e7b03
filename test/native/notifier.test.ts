/** Notifiers: no signal is lost, none keeps a process alive, and a closed one is harmless. */
import { describe, expect, it } from 'vitest';
import { createNotifier, GuestMemory, gpa, notify } from '../../src/kvm/index.js';
import { addonProcess, addonWorker, endOf } from './addon-worker.js';

const turn = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms));

describe('notify', () => {
  it('calls back on the loop, not at once; several signals may be one call', async () => {
    let calls = 0;
    const notifier = createNotifier(() => calls++);
    for (let i = 0; i < 100; i++) notify(notifier.id);
    expect(calls).toBe(0);
    await turn();
    expect(calls).toBeGreaterThan(0);
    expect(calls).toBeLessThanOrEqual(2);
    notifier.close();
  });

  it('from within its own callback calls again', async () => {
    let calls = 0;
    const notifier = createNotifier(() => {
      if (++calls < 5) notify(notifier.id);
    });
    notify(notifier.id);
    await turn(50);
    expect(calls).toBe(5);
    notifier.close();
  });

  it('from another thread: what was written before the signal is seen', async () => {
    const memory = GuestMemory.create(4096);
    const rounds = 100_000;
    let calls = 0;
    let seen = 0;
    const notifier = createNotifier(() => {
      calls++;
      seen = memory.atomicLoad32(gpa(0));
    });
    const source = `
      const words = new Int32Array(addon.GuestMemory.attach(workerData.memory).view(0, 4096));
      for (let i = 0; i < workerData.rounds; i++) { Atomics.add(words, 0, 1); addon.notify(workerData.notifier); }
    `;
    await endOf(addonWorker(source, { memory: memory.id, notifier: notifier.id, rounds }));
    await turn();
    expect(seen).toBe(rounds);
    expect(calls).toBeGreaterThan(1);
    notifier.close();
    memory.close();
  });

  it('of an id that never was is ignored', () => {
    notify(0);
    notify(4294967295);
  });
});

describe('close', () => {
  it('is idempotent, silences signals on their way, and hides the id', async () => {
    let calls = 0;
    const notifier = createNotifier(() => calls++);
    const { id } = notifier;
    notify(id);
    notifier.close();
    notifier.close();
    notify(id);
    await turn();
    expect(calls).toBe(0);
    expect(() => notifier.id).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });

  it('works within the callback', async () => {
    let calls = 0;
    const notifier = createNotifier(() => {
      calls++;
      notifier.close();
    });
    const { id } = notifier;
    notify(id);
    await turn();
    notify(id);
    await turn();
    expect(calls).toBe(1);
  });

  it('by the end of its thread: signals go nowhere', async () => {
    const source = `
      globalThis.kept = new addon.Notifier(() => {});
      parentPort.postMessage(kept.id);
    `;
    const worker = addonWorker(source, undefined);
    let id = 0;
    worker.on('message', (value: number) => {
      id = value;
    });
    const hammer = setInterval(() => {
      for (let i = 0; id !== 0 && i < 1000; i++) notify(id);
    });
    await endOf(worker);
    clearInterval(hammer);
    expect(id).toBeGreaterThan(0);
    notify(id);
  });

  it.each([undefined, null, 1, {}])('new Notifier(%s) is EINVAL', (callback) => {
    expect(() => createNotifier(callback as unknown as () => void)).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });
});

describe('process exit', () => {
  it('does not wait for an open notifier', async () => {
    const source = `
      globalThis.kept = new addon.Notifier(() => process.stdout.write('called'));
      addon.notify(kept.id);
      setTimeout(() => {}, 50);
    `;
    expect(await addonProcess(source, 10_000)).toBe('called');
  });

  it('reports an exception of the callback like any other', async () => {
    const source = `
      process.on('uncaughtException', (error) => { process.stdout.write(error.message); process.exit(0); });
      globalThis.kept = new addon.Notifier(() => { throw new Error('thrown'); });
      addon.notify(kept.id);
      setTimeout(() => {}, 1000);
    `;
    expect(await addonProcess(source)).toBe('thrown');
  });
});
