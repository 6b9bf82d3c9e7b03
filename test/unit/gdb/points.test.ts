import { describe, expect, it } from 'vitest';
import { MAX_BREAKPOINTS } from '../../../src/base/limits.js';
import { type Point, type PointKind, Points } from '../../../src/xenner/gdb/points.js';

const at = (kind: PointKind, address: bigint, length = 1): Point => ({ kind, address, length });
const KERNEL = 0xffffffff80100000n;

describe.each([
  ['with breakpoints of the engine', MAX_BREAKPOINTS],
  ['with debug registers alone', 0],
])('%s', (_, engine) => {
  it.each([
    ['in the hole', at('software', 0xffff800000000000n)],
    ['at the end of the hole', at('write', 0xffff87fffffffff8n, 8)],
    ['of 3 bytes', at('write', KERNEL, 3)],
    ['of 16 bytes', at('access', KERNEL, 16)],
    ['that is not aligned', at('write', KERNEL + 2n, 4)],
  ])('there is no point %s', (__, point) => {
    const points = new Points(engine);
    expect(points.insert(point)).toBe(false);
    expect(points.any).toBe(false);
  });

  it('four watchpoints are all', () => {
    const points = new Points(engine);
    for (let i = 0n; i < 4n; i++) expect(points.insert(at('write', KERNEL + i * 8n, 8))).toBe(true);
    expect(points.insert(at('access', KERNEL, 1))).toBe(false);
    expect(points.insert(at('write', KERNEL, 8)), 'one that is there').toBe(true);
    points.remove(at('write', KERNEL + 8n, 8));
    expect(points.insert(at('access', KERNEL, 1))).toBe(true);
    expect(points.hitBySlot(0b0010)).toEqual(at('access', KERNEL, 1));
  });

  it('one that is put there twice is gone when it is taken away once', () => {
    const points = new Points(engine);
    for (const kind of ['software', 'hardware', 'write'] as const) {
      points.insert(at(kind, KERNEL));
      points.insert(at(kind, KERNEL));
      points.remove(at(kind, KERNEL));
      expect(points.any, kind).toBe(false);
    }
    points.remove(at('software', KERNEL));
  });
});

it('DR7 says where and what', () => {
  const points = new Points(0);
  expect(points.debugRegisters).toEqual([0n, 0n, 0n, 0n, 0n]);
  points.insert(at('software', KERNEL + 1n));
  points.insert(at('write', KERNEL, 8));
  points.insert(at('access', KERNEL, 4));
  points.insert(at('write', KERNEL, 2));
  // LEN and R/W, four bits each from bit 16: 00 00, 10 01, 11 11, 01 01; L0 to L3; bit 10 is always 1.
  expect(points.debugRegisters).toEqual([KERNEL + 1n, KERNEL, KERNEL, KERNEL, 0x5f900455n]);
});

it('an engine has so many breakpoints, and the debug registers besides', () => {
  const points = new Points(2);
  expect(points.insert(at('software', 1n))).toBe(true);
  expect(points.insert(at('hardware', 1n))).toBe(true);
  expect(points.insert(at('software', 2n))).toBe(false);
  expect(points.breakpoints).toEqual([1n, 1n]);
  expect(points.usesDebugRegisters).toBe(false);
  expect(points.insert(at('write', 2n))).toBe(true);
  expect(points.hitAt(1n)).toEqual(at('software', 1n));
  points.clear();
  expect(points.any).toBe(false);
});
