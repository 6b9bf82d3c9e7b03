/** Views of guest memory by frame: at the ends of views, where an off-by-one would hit a neighbour. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GuestMemory, gpa, VIEW_BYTES } from '../../../src/kvm/guest-memory.js';
import { FrameTable, FrameWords } from '../../../src/xenner/mm/frame-words.js';

const PAGE = 4096;
const FRAMES_PER_VIEW = VIEW_BYTES / PAGE;
const TOTAL = 3 * FRAMES_PER_VIEW;

let memory: GuestMemory;
beforeEach(() => {
  memory = GuestMemory.create(TOTAL * PAGE);
});
afterEach(() => memory.close());

describe('frames', () => {
  const frames = [0, 1, FRAMES_PER_VIEW - 1, FRAMES_PER_VIEW, TOTAL - 1];
  it.each(frames)('frame %i', (mfn) => {
    const words = new FrameWords(memory);
    words.storeEntry(mfn, 511, 0x89abcdef, 0x80000001);
    expect(memory.readU64(gpa(mfn * PAGE + 4088))).toBe(0x8000000189abcdefn);
    memory.writeU32(gpa(mfn * PAGE), 0xffffffff);
    expect(words.words(mfn)[words.base(mfn)]).toBe(0xffffffff);
    expect([words.page(mfn)[0], words.page(mfn)[1022], words.page(mfn).length]).toEqual([
      0xffffffff, 0x89abcdef, 1024,
    ]);
  });

  it('keep the bits that they are to keep', () => {
    const words = new FrameWords(memory);
    words.storeEntry(7, 0, 0xffffffff, 0xffffffff);
    words.storeEntryKeeping(7, 0, 1, 2, 0x60);
    expect(memory.readU64(gpa(7 * PAGE))).toBe(0x0000000200000061n);
  });
});

describe('a table of one u64 a frame', () => {
  it.each([
    { what: 'inside a view', at: 0, count: 64 },
    { what: 'up to the end of a view', at: VIEW_BYTES - 64 * 8, count: 64 },
    { what: 'across it', at: VIEW_BYTES - 24 * 8, count: 64 },
    { what: 'from the next one on', at: VIEW_BYTES, count: 64 },
  ])('$what', ({ at, count }) => {
    const table = new FrameTable(memory, gpa(at));
    for (let mfn = 0; mfn < count; mfn++) {
      table.setLow(mfn, mfn | 0x80000000);
      table.setHigh(mfn, -mfn);
    }
    for (let mfn = 0; mfn < count; mfn++) {
      expect([table.low(mfn), table.high(mfn)]).toEqual([(mfn | 0x80000000) >>> 0, -mfn >>> 0]);
      const stored = memory.readU64(gpa(at + mfn * 8));
      expect(stored).toBe((BigInt(-mfn >>> 0) << 32n) | BigInt((mfn | 0x80000000) >>> 0));
    }
  });

  it('across more than one', () => {
    const at = VIEW_BYTES - 8;
    const count = VIEW_BYTES / 8 + 2;
    const table = new FrameTable(memory, gpa(at));
    for (const mfn of [0, 1, 2, count - 2, count - 1]) {
      table.setLow(mfn, mfn + 7);
      table.setHigh(mfn, mfn + 9);
      expect(memory.readU64(gpa(at + mfn * 8))).toBe((BigInt(mfn + 9) << 32n) | BigInt(mfn + 7));
      expect([table.low(mfn), table.high(mfn)]).toEqual([mfn + 7, mfn + 9]);
    }
    table.fill(0, count, 5);
    for (const mfn of [0, 1, count - 1]) expect([table.low(mfn), table.high(mfn)]).toEqual([5, 0]);
    expect(memory.readU64(gpa(at + count * 8))).toBe(0n);
  });
});
