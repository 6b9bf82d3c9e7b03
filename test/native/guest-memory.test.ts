/** Guest memory: one mapping for every thread, alive while anything can reach it. */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, vi } from 'vitest';
import { loadAddon } from '../../src/kvm/addon.js';
import { addonProcess, addonWorker, endOf, messageOf } from './addon-worker.js';

const { GuestMemory } = loadAddon();
const MIB = 2 ** 20;
const GIB = 2 ** 30;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function mappings(): number {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes('memfd:xenner-guest')).length;
}

describe('sizes', () => {
  const bad: unknown[] = [
    0,
    1,
    4095,
    4097,
    -4096,
    1.5,
    Number.NaN,
    Infinity,
    17 * GIB + 4096,
    2 ** 53,
    '4096',
    undefined,
  ];
  it.each(bad)('%s bytes are refused', (bytes) => {
    expect(() => new GuestMemory(bytes as number)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  it('17 GiB cost nothing until they are touched', () => {
    const memory = new GuestMemory(17 * GIB);
    const last = new Uint8Array(memory.view(16 * GIB, GIB));
    last[GIB - 1] = 9;
    expect(memory.bytes).toBe(17 * GIB);
    expect(last[GIB - 1]).toBe(9);
    memory.close();
  });
});

describe('views', () => {
  const refused: Array<[offset: number, length: number, code: string]> = [
    [-1, 1, 'EINVAL'],
    [0, GIB + 1, 'EINVAL'],
    [0.5, 1, 'EINVAL'],
    [MIB + 1, 0, 'EINVAL'],
    [MIB, 1, 'ERANGE'],
    [0, MIB + 1, 'ERANGE'],
    [MIB - 4096, 4097, 'ERANGE'],
  ];
  it.each(refused)('view(%d, %d) of 1 MiB is refused with %s', (offset, length, code) => {
    const memory = new GuestMemory(MIB);
    expect(() => memory.view(offset, length)).toThrow(expect.objectContaining({ code }));
    memory.close();
  });

  it('show the same bytes through overlapping views and handles', () => {
    const memory = new GuestMemory(MIB);
    const other = GuestMemory.attach(memory.id);
    const whole = new Uint8Array(memory.view(0, MIB));
    const again = new Uint8Array(memory.view(0, MIB));
    const part = new Uint8Array(other.view(4096, 4096));
    whole[4096] = 1;
    part[1] = 2;
    expect([again[4096], again[4097], part[0], whole[4097]]).toEqual([1, 2, 1, 2]);
    expect([other.id, other.bytes]).toEqual([memory.id, MIB]);
    memory.close();
    other.close();
  });

  it('are empty once their handle is closed, and those of others are not', () => {
    const memory = new GuestMemory(MIB);
    const other = GuestMemory.attach(memory.id);
    const views = [new Uint8Array(memory.view(0, MIB)), new Uint8Array(memory.view(4096, 4096))];
    const kept = new Uint8Array(other.view(0, MIB));
    views[0]!.fill(7);
    memory.close();
    expect(views.map((view) => view.length)).toEqual([0, 0]);
    expect(views[0]![0]).toBe(undefined);
    views[0]![0] = 9;
    expect(kept.every((byte) => byte === 7)).toBe(true);
    other.close();
    expect(kept.length).toBe(0);
  });

  it('do not keep the memory once every handle is closed, although they are still there', async () => {
    const before = mappings();
    const memory = new GuestMemory(MIB);
    const view = new Uint8Array(memory.view(0, MIB));
    view[0] = 1;
    expect(mappings()).toBeGreaterThan(before);
    memory.close();
    await vi.waitFor(() => expect(mappings()).toBeLessThanOrEqual(before), { timeout: 10_000 });
    expect(view.length).toBe(0);
  });

  it('and handles that nobody closed free the memory when they are collected', async () => {
    const before = mappings();
    (() => {
      new Uint8Array(new GuestMemory(MIB).view(0, MIB))[0] = 1;
      expect(mappings()).toBeGreaterThan(before);
    })();
    await vi.waitFor(
      () => {
        collectGarbage();
        expect(mappings()).toBeLessThanOrEqual(before);
      },
      { timeout: 10_000 },
    );
  });
});

describe('close', () => {
  it('is idempotent, and everything else throws EBADF afterwards', () => {
    const memory = new GuestMemory(MIB);
    memory.close();
    memory.close();
    const closed = expect.objectContaining({ code: 'EBADF' });
    expect(() => memory.view(0, 1)).toThrow(closed);
    expect(() => memory.id).toThrow(closed);
    expect(() => memory.bytes).toThrow(closed);
  });

  it('makes the id unknown once the last handle is closed', () => {
    const memory = new GuestMemory(MIB);
    const { id } = memory;
    const other = GuestMemory.attach(id);
    memory.close();
    const third = GuestMemory.attach(id);
    other.close();
    third.close();
    expect(() => GuestMemory.attach(id)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });

  it.each([0, 4294967295])('attach(%d) of what never was throws ENOENT', (id) => {
    expect(() => GuestMemory.attach(id)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });
});

describe('threads', () => {
  it('count exactly in the same words at the same time', async () => {
    const memory = new GuestMemory(MIB);
    const rounds = 200_000;
    const source = `
      const memory = addon.GuestMemory.attach(workerData.id);
      const words = new Int32Array(memory.view(0, 4096));
      parentPort.postMessage('ready');
      while (Atomics.load(words, 1) === 0);
      for (let i = 0; i < workerData.rounds; i++) Atomics.add(words, 0, 1);
      memory.close();
    `;
    const worker = addonWorker(source, { id: memory.id, rounds });
    await messageOf(worker);
    const words = new Int32Array(memory.view(0, 4096));
    Atomics.store(words, 1, 1);
    for (let i = 0; i < rounds; i++) Atomics.add(words, 0, 1);
    await endOf(worker);
    expect(words[0]).toBe(2 * rounds);
    memory.close();
  });

  it('keep the memory that another handle has closed, and outlive a thread that ended with views', async () => {
    const memory = new GuestMemory(MIB);
    const source = `
      const memory = addon.GuestMemory.attach(workerData.id);
      const bytes = new Uint8Array(memory.view(0, 4096));
      parentPort.postMessage('ready');
      parentPort.once('message', () => { bytes[0]++; parentPort.postMessage(bytes[0]); process.exit(0); });
    `;
    const worker = addonWorker(source, { id: memory.id });
    await messageOf(worker);
    const other = GuestMemory.attach(memory.id);
    const bytes = new Uint8Array(other.view(0, 4096));
    bytes[0] = 41;
    memory.close();
    // A thread that ends right after its message may do both within one turn of the event loop.
    const [answer, ended] = [messageOf(worker), endOf(worker)];
    worker.postMessage('go');
    expect(await answer).toBe(42);
    await ended;
    bytes[1] = 1;
    expect([bytes[0], bytes[1]]).toEqual([42, 1]);
  });
});

describe('process exit', () => {
  it('with open handles and views in the main thread and in a running worker', async () => {
    const source = `
      const memory = new addon.GuestMemory(1 << 20);
      globalThis.kept = new Uint8Array(memory.view(0, 1 << 20));
      const code = 'const { parentPort, workerData } = require("node:worker_threads");'
        + 'const addon = require(workerData.path);'
        + 'globalThis.memory = addon.GuestMemory.attach(workerData.id); globalThis.view = memory.view(0, 4096);'
        + 'parentPort.postMessage(1); setInterval(() => {}, 1000);';
      const path = Object.keys(require.cache).find((name) => name.endsWith('xenner.node'));
      new Worker(code, { eval: true, workerData: { path, id: memory.id } }).once('message', () => {
        process.stdout.write('bye', () => process.exit(0));
      });
    `;
    expect(await addonProcess(source)).toBe('bye');
  });
});
