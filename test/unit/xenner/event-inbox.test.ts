/** The inbox: single-threaded order first, then posts from two threads against a drain that runs meanwhile. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { EventInbox } from '../../../src/xenner/event-inbox.js';

function drained(inbox: EventInbox): number[] {
  const ports: number[] = [];
  inbox.drain((port) => ports.push(port));
  return ports;
}

describe('one thread', () => {
  it.each([
    { posts: [], expect: [] },
    { posts: [1], expect: [1] },
    { posts: [31, 32, 63, 64], expect: [31, 32, 63, 64] },
    { posts: [4095, 0, 1024, 1023], expect: [0, 1023, 1024, 4095] },
    { posts: [7, 7, 7], expect: [7] },
  ])('$posts', ({ posts, expect: expected }) => {
    const inbox = new EventInbox();
    for (const port of posts) inbox.post(port);
    expect([drained(inbox), drained(inbox)]).toEqual([expected, []]);
  });
  it('knows whose back ends are patient, whatever is posted', () => {
    const inbox = new EventInbox();
    for (const port of [0, 31, 32, 4095]) inbox.setPatient(port, true);
    inbox.setPatient(31, false);
    inbox.post(33);
    expect([0, 30, 31, 32, 33, 4095].filter((port) => inbox.isPatient(port))).toEqual([0, 32, 4095]);
    expect(drained(inbox)).toEqual([33]);
  });
  it('says whether a post is new', () => {
    const inbox = new EventInbox();
    expect([inbox.post(31), inbox.post(31), inbox.post(30)]).toEqual([true, false, true]);
    drained(inbox);
    expect(inbox.post(31)).toBe(true);
  });
  it('holds every port', () => {
    const inbox = new EventInbox();
    for (let port = 4095; port >= 0; port--) inbox.post(port);
    expect(drained(inbox)).toEqual(Array.from({ length: 4096 }, (_, port) => port));
  });
  it('keeps what is posted while it is drained', () => {
    const inbox = new EventInbox();
    inbox.post(40);
    const seen: number[] = [];
    inbox.drain((port) => {
      seen.push(port);
      if (seen.length === 1) for (const other of [40, 41, 3, 2000]) inbox.post(other);
    });
    expect(new Set([...seen, ...drained(inbox)])).toEqual(new Set([40, 41, 3, 2000]));
  });
  it.each([-1, 4096, 1.5, Number.NaN, 2 ** 32])('refuses %d', (port) => {
    expect(() => new EventInbox().post(port)).toThrow(RangeError);
  });
  it('refuses a buffer of another size', () => {
    expect(() => new EventInbox(new SharedArrayBuffer(512))).toThrow(RangeError);
  });
});

describe('two posting threads', () => {
  // Each worker counts up its own slot before it posts, as a back end fills its ring before it notifies.
  const poster = `
    const { workerData } = require('node:worker_threads');
    const { hooks, module, buffer, counters, first, stop } = workerData;
    require('node:module').register(hooks);
    import(module).then(({ EventInbox }) => {
      const inbox = new EventInbox(buffer);
      const counts = new Int32Array(counters);
      for (let i = 0; !Atomics.load(stop, 0); i++) {
        const port = first + 2 * ((i * 37) % 2048);
        Atomics.add(counts, port, 1);
        inbox.post(port);
      }
    });
  `;
  it('lose nothing: after its last post every port has been drained once more', async () => {
    const visitsWanted = 20_000;
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const inbox = new EventInbox();
    const counters = new SharedArrayBuffer(4096 * 4);
    const counts = new Int32Array(counters);
    const seen = new Int32Array(4096);
    let visits = 0;
    const visit = (port: number) => {
      seen[port] = Atomics.load(counts, port);
      visits++;
    };
    const module = new URL('../../../src/xenner/event-inbox.ts', import.meta.url).href;
    const hooks = new URL('./event-ts-hooks.mjs', import.meta.url).href;
    const workers = [0, 1].map(
      (first) =>
        new Worker(poster, {
          eval: true,
          workerData: { hooks, module, buffer: inbox.buffer, counters, first, stop },
        }),
    );
    let running = workers.length;
    const ends = workers.map((worker) => once(worker, 'exit').then(() => running--));
    while (running > 0) {
      inbox.drain(visit);
      if (visits > visitsWanted) Atomics.store(stop, 0, 1);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await Promise.all(ends)).toHaveLength(2);
    inbox.drain(visit);
    expect(seen).toEqual(counts);
  });
});
