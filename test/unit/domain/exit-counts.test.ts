/** Exits by kind, in numbers and reasons that a guest may make up. */
import { describe, expect, it } from 'vitest';
import { ExitCounts } from '../../../src/xenner/domain/exit-counts.js';
import * as monitor from '../../../src/xenner/monitor/vcpu-area.js';

describe('exit counts', () => {
  it('are none at first', () => {
    expect(new ExitCounts().read()).toEqual({ exits: {}, kicks: 0, freePages: 0 });
  });

  it('have a name for every hypercall and every exit of the monitor', () => {
    const counts = new ExitCounts();
    for (const number of [0, 1, 12, 42, 48, 55]) counts.hypercall(number);
    const reasons = Object.entries(monitor).filter(([name]) => name.startsWith('MONITOR_EXIT_'));
    for (const [, reason] of reasons)
      if (reason !== monitor.MONITOR_EXIT_HYPERCALL) counts.monitor(reason as number);
    counts.halt();
    counts.setEngine(3);
    counts.kick();
    const { exits, kicks } = counts.read();
    expect(kicks).toBe(1);
    expect(Object.keys(exits)).toHaveLength(6 + reasons.length - 1 + 2);
    expect(exits).toMatchObject({ set_trap_table: 1, memory_op: 1, arch_7: 1, ptwr: 1, halt: 1, engine: 3 });
    expect(exits.unknown).toBe(undefined);
  });

  it('are unknown for whatever else a guest makes up', () => {
    const counts = new ExitCounts();
    for (const number of [43, 63, 64, 0xffffffff]) counts.hypercall(number);
    for (const reason of [0, 15, 16, 0xffffffff]) counts.monitor(reason);
    expect(counts.read()).toEqual({ exits: { unknown: 8 }, kicks: 0, freePages: 0 });
  });

  it('are seen by whoever has the buffer', () => {
    const counts = new ExitCounts();
    const other = new ExitCounts(counts.buffer);
    counts.hypercall(17);
    expect(other.read()).toEqual({ exits: { xen_version: 1 }, kicks: 0, freePages: 0 });
  });
});
