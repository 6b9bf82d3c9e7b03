/** The typed accessors: every width, aligned or not, on both sides of a view's end, and nothing outside. */
import { afterAll, describe, expect, it } from 'vitest';
import { VIEW_BYTES } from '../../src/kvm/guest-memory.js';
import { GuestMemory, GuestMemoryError, gpa } from '../../src/kvm/index.js';

const GIB = 2 ** 30;
const memory = GuestMemory.create(GIB + 8192);
afterAll(() => memory.close());

/** Around the start, an odd address, the boundary between two views, and the end. */
const places = [
  0,
  1,
  2,
  3,
  4,
  7,
  4096,
  12345,
  GIB - 9,
  GIB - 8,
  GIB - 7,
  GIB - 4,
  GIB - 3,
  GIB - 1,
  GIB,
  GIB + 8184,
];

describe.each(places)('at %d', (place) => {
  const address = gpa(place);

  it('8, 16, 32 and 64 bits come back', () => {
    memory.writeU8(address, 0xfe);
    expect(memory.readU8(address)).toBe(0xfe);
    memory.writeU16(address, 0xfedc);
    expect(memory.readU16(address)).toBe(0xfedc);
    memory.writeU32(address, 0xfedcba98);
    expect(memory.readU32(address)).toBe(0xfedcba98);
    memory.writeU64(address, 0xfedcba9876543210n);
    expect(memory.readU64(address)).toBe(0xfedcba9876543210n);
  });

  it('is little-endian, and pairs are low, high', () => {
    memory.writeU64(address, 0x0807060504030201n);
    expect([...memory.copyOut(address, 8)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const pair = new Uint32Array(2);
    memory.readU32Pair(address, pair);
    expect([...pair]).toEqual([0x04030201, 0x08070605]);
    memory.writeU32Pair(address, 0xdeadbeef, 0x1);
    expect(memory.readU64(address)).toBe(0x1deadbeefn);
  });

  it('bytes go in and out whole', () => {
    memory.copyIn(address, Uint8Array.of(9, 8, 7, 6, 5, 4, 3, 2));
    expect([...memory.copyOut(address, 8)]).toEqual([9, 8, 7, 6, 5, 4, 3, 2]);
    memory.fill(address, 8, 0xaa);
    expect(memory.readU64(address)).toBe(0xaaaaaaaaaaaaaaaan);
  });
});

describe('64 bits as a number', () => {
  const cases: Array<[bigint, number]> = [
    [0n, 0],
    [0xffffffffn, 0xffffffff],
    [0x100000000n, 2 ** 32],
    [2n ** 53n - 1n, 2 ** 53 - 1],
    [2n ** 53n, Number.NaN],
    [2n ** 64n - 1n, Number.NaN],
  ];
  it.each(cases)('%d is %d', (value, expected) => {
    memory.writeU64(gpa(64), value);
    expect(memory.readU64Number(gpa(64))).toBe(expected);
  });
});

describe('outside', () => {
  const size = GIB + 8192;
  const addresses = [-1, size, size + 1, 2 ** 53, 2 ** 63, -(2 ** 53), Number.NaN, Infinity, 0.5];
  const operations: Array<[name: string, length: number, run: (address: number) => unknown]> = [
    ['readU8', 1, (a) => memory.readU8(gpa(a))],
    ['readU16', 2, (a) => memory.readU16(gpa(a))],
    ['readU32', 4, (a) => memory.readU32(gpa(a))],
    ['readU64', 8, (a) => memory.readU64(gpa(a))],
    ['readU64Number', 8, (a) => memory.readU64Number(gpa(a))],
    ['readU32Pair', 8, (a) => memory.readU32Pair(gpa(a), new Uint32Array(2))],
    ['writeU8', 1, (a) => memory.writeU8(gpa(a), 1)],
    ['writeU16', 2, (a) => memory.writeU16(gpa(a), 1)],
    ['writeU32', 4, (a) => memory.writeU32(gpa(a), 1)],
    ['writeU64', 8, (a) => memory.writeU64(gpa(a), 1n)],
    ['writeU32Pair', 8, (a) => memory.writeU32Pair(gpa(a), 1, 1)],
    ['bytes', 16, (a) => memory.bytes(gpa(a), 16)],
    ['copyOut', 16, (a) => memory.copyOut(gpa(a), 16)],
    ['copyIn', 16, (a) => memory.copyIn(gpa(a), new Uint8Array(16))],
    ['fill', 16, (a) => memory.fill(gpa(a), 16, 1)],
    ['atomicOr32', 4, (a) => memory.atomicOr32(gpa(a), 1)],
    ['atomicAnd32', 4, (a) => memory.atomicAnd32(gpa(a), 1)],
    ['atomicLoad32', 4, (a) => memory.atomicLoad32(gpa(a))],
    ['atomicStore32', 4, (a) => memory.atomicStore32(gpa(a), 1)],
    ['compareExchange32', 4, (a) => memory.compareExchange32(gpa(a), 0, 1)],
  ];
  it.each(operations)('%s throws, and touches nothing', (_name, length, run) => {
    const last = gpa(size - 16);
    memory.fill(last, 16, 0x55);
    for (const address of [...addresses, size - length + 1]) {
      expect(() => run(address), String(address)).toThrow(GuestMemoryError);
    }
    expect([...memory.copyOut(last, 16)]).toEqual(new Array(16).fill(0x55));
    expect(() => run(size - length)).not.toThrow();
  });

  it('contains() agrees', () => {
    for (const address of addresses) expect(memory.contains(address, 1), String(address)).toBe(false);
    expect(memory.contains(0, size)).toBe(true);
    expect(memory.contains(0, size + 1)).toBe(false);
    expect(memory.contains(1, size)).toBe(false);
    expect(memory.contains(size, 0)).toBe(true);
    expect(memory.contains(0, -1)).toBe(false);
    expect(memory.contains(0, Number.NaN)).toBe(false);
  });
});

describe('views and atomics', () => {
  it('bytes() is live, and refuses to cross two views', () => {
    const view = memory.bytes(gpa(4096), 4096);
    memory.writeU8(gpa(4096), 77);
    expect(view[0]).toBe(77);
    expect(memory.bytes(gpa(GIB - 4096), 4096).length).toBe(4096);
    expect(memory.bytes(gpa(GIB), 0).length).toBe(0);
    for (const end of [VIEW_BYTES, GIB])
      expect(() => memory.bytes(gpa(end - 1), 2)).toThrow(GuestMemoryError);
  });

  it('atomics return the value before, and need alignment', () => {
    const address = gpa(GIB + 64);
    memory.atomicStore32(address, 0b1100);
    expect(memory.atomicOr32(address, 0x80000001)).toBe(0b1100);
    expect(memory.atomicAnd32(address, 0x80000000)).toBe(0x8000000d);
    expect(memory.compareExchange32(address, 1, 2)).toBe(0x80000000);
    expect(memory.compareExchange32(address, 0x80000000, 2)).toBe(0x80000000);
    expect(memory.atomicLoad32(address)).toBe(2);
    expect(() => memory.atomicLoad32(gpa(GIB + 65))).toThrow(GuestMemoryError);
  });

  it('attach shares, and close makes every accessor throw', () => {
    const first = GuestMemory.create(4096);
    const second = GuestMemory.attach(first.id);
    first.writeU32(gpa(0), 5);
    expect(second.readU32(gpa(0))).toBe(5);
    first.close();
    first.close();
    expect(first.size).toBe(0);
    expect(() => first.readU32(gpa(0))).toThrow(GuestMemoryError);
    expect(second.readU32(gpa(0))).toBe(5);
    second.close();
  });
});
