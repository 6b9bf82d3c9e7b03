/** C structures: exact 64-bit values, checked padding and sizes, bounds on every write. */
import { describe, expect, it } from 'vitest';
import {
  array,
  bytes,
  cstring,
  cstruct,
  group,
  pad,
  s8,
  s64,
  u8,
  u16,
  u32,
  u64,
  union,
} from '../../../src/base/layout.js';

const point = cstruct('struct point', 'point.h', 16, { x: u64, y: s64 });

describe('64-bit integers', () => {
  const cases: Array<{ x: bigint; y: bigint }> = [
    { x: 0n, y: 0n },
    { x: 2n ** 53n + 1n, y: -(2n ** 53n) - 1n },
    { x: 2n ** 64n - 1n, y: -(2n ** 63n) },
    { x: 0xffff800000000000n, y: 2n ** 63n - 1n },
  ];
  it.each(cases)('$x, $y come back exactly', (value) => {
    expect(point.decode(point.create(value))).toEqual(value);
  });
  it.each([{ x: 2n ** 64n }, { x: -1n }, { y: 2n ** 63n }])('refuses what does not fit', (value) => {
    expect(() => point.create(value)).toThrow(RangeError);
  });
});

describe('definitions', () => {
  it.each([
    {
      why: 'padding before a member',
      define: () => cstruct('t', 'h', 16, { a: u8, b: u64 }),
      error: 'b at 1 needs pad(7)',
    },
    {
      why: 'padding at the end',
      define: () => cstruct('t', 'h', 9, { b: u64, a: u8 }),
      error: 'pad(7) at the end',
    },
    {
      why: 'another size',
      define: () => cstruct('t', 'h', 12, { a: u32, b: u32 }),
      error: 'make 8 bytes, not 12',
    },
    { why: 'padding in a group', define: () => group({ a: u16, b: u32 }), error: 'b at 2 needs pad(2)' },
  ])('refuse $why', ({ define, error }) => {
    expect(() => define().align).toThrow(error);
  });

  it('may be packed', () => {
    const packed = cstruct('t', 'h', 9, { a: u8, b: u64 }, { packed: true });
    expect(packed.offsetof('b')).toBe(1);
    expect([...packed.create({ b: 0x0102n })]).toEqual([0, 2, 1, 0, 0, 0, 0, 0, 0]);
  });

  it('give the offset of any member', () => {
    const outer = cstruct('t', 'h', 40, { head: u32, _pad: pad(4), points: array(point, 2) });
    expect(outer.offsetof('points.1.y')).toBe(32);
    expect(() => outer.offsetof('points.2.y')).toThrow('no member 2');
    expect(() => outer.offsetof('_pad')).toThrow('no member _pad');
    expect(() => outer.offsetof('points.x')).toThrow('no member x');
  });
});

describe('encoding', () => {
  const text = cstruct('t', 'h', 16, { a: u8, name: cstring(8), raw: bytes(3), list: array(s8, 4) });

  it('leaves out what it is not given', () => {
    const buffer = Buffer.alloc(16, 0xee);
    text.encode({ name: 'xen' }, buffer);
    expect(buffer.toString('hex')).toBe('ee78656e0000000000eeeeeeeeeeeeee');
  });

  it('accepts fewer elements than the array has and no more', () => {
    expect(text.decode(text.create({ list: [1, -2] })).list).toEqual([1, -2, 0, 0]);
    expect(() => text.create({ list: [1, 2, 3, 4, 5] })).toThrow(RangeError);
  });

  it.each([
    { why: 'text without room for its NUL', value: { name: 'eightchr' } },
    { why: 'raw bytes of another length', value: { raw: new Uint8Array(4) } },
  ])('refuses $why', ({ value }) => {
    expect(() => text.create(value)).toThrow(RangeError);
  });

  it.each([0, 1, 15])('refuses a buffer of %i bytes', (length) => {
    const short = new Uint8Array(length);
    expect(() => text.encode({ a: 1 }, short)).toThrow(RangeError);
    expect(() => text.decode(short)).toThrow(RangeError);
    expect([...short]).toEqual(new Array(length).fill(0));
  });

  it('works at an offset of any Uint8Array and copies bytes out', () => {
    const view = new Uint8Array(32).subarray(8);
    text.encode({ raw: Uint8Array.of(1, 2, 3), name: '1234567' }, view, 8);
    const copy = text.decode(view, 8);
    view.fill(0);
    expect(copy).toEqual({ a: 0, name: '1234567', raw: Uint8Array.of(1, 2, 3), list: [0, 0, 0, 0] });
  });

  it('reads text that has no NUL up to its end', () => {
    expect(text.decode(Buffer.alloc(16, 0x41)).name).toBe('AAAAAAAA');
  });
});

describe('unions', () => {
  const op = cstruct('t', 'h', 16, {
    cmd: u32,
    _pad: pad(4),
    arg: union({ mfn: u64, nr: u32, pair: group({ a: u16, b: u16 }) }),
  });

  it('show every member', () => {
    const { arg } = op.decode(op.create({ cmd: 1, arg: { mfn: 0x1_0002_0003n } }));
    expect(arg).toEqual({ mfn: 0x1_0002_0003n, nr: 0x0002_0003, pair: { a: 3, b: 2 } });
  });

  it('write only the members given', () => {
    expect(op.decode(op.create({ arg: { pair: { b: 7 } } })).arg.mfn).toBe(0x70000n);
  });
});
