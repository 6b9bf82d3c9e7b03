/** What a back end gets of a guest's grants: the checks of a mapping by domain 0, and entries that change meanwhile. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type GuestMemory, gpa } from '../../../src/kvm/guest-memory.js';
import * as abi from '../../../src/xenner/abi/grant-table.js';
import {
  type ActiveGrant,
  ActiveGrants,
  GNTPIN_hstr_inc,
  GNTPIN_hstw_inc,
} from '../../../src/xenner/grants/active-grants.js';
import { GrantEntries } from '../../../src/xenner/grants/grant-entries.js';
import { HostGrants } from '../../../src/xenner/grants/host-grants.js';
import { PGC_xen } from '../../../src/xenner/monitor/vcpu-area.js';
import { Guest } from '../hypercall/grant-guest.js';
import { GRANT_MFN, L1_MFN, NR_PAGES, PAGE_INFO } from '../hypercall/harness.js';

const USED = abi.GTF_permit_access | abi.GTF_reading;
const WRITTEN = USED | abi.GTF_writing;

let guest: Guest;
let host: HostGrants;
beforeEach(() => {
  guest = new Guest();
  host = new HostGrants({
    memory: guest.memory,
    grantFrames: guest.domain.grantFrames,
    nrPages: NR_PAGES,
    pageInfo: PAGE_INFO,
  });
});
afterEach(() => guest.close());

const toHost = (mfn: number, flags = abi.GTF_permit_access) => guest.grant(9, mfn, flags, 0);

function held(answer: ReturnType<HostGrants['access']>) {
  if (typeof answer === 'number') throw new Error(`GNTST ${answer}`);
  return answer;
}

describe("the host's access", () => {
  it('shows in the flags as long as it lasts', () => {
    const mfn = guest.page();
    const reader = held(host.access(toHost(mfn), { write: false }));
    expect([reader.mfn, guest.flags(9)]).toEqual([mfn, USED]);
    const writer = held(host.access(9, { write: true }));
    expect([writer.mfn, guest.flags(9)]).toEqual([mfn, WRITTEN]);
    writer.release();
    writer.release();
    expect(guest.flags(9)).toBe(USED);
    reader.release();
    expect(guest.flags(9)).toBe(abi.GTF_permit_access);
  });
  it('keeps its frame while the guest changes the entry', () => {
    const mfn = guest.page();
    const first = held(host.access(toHost(mfn), { write: false }));
    guest.grant(9, 300, WRITTEN, 5);
    expect(held(host.access(9, { write: false })).mfn).toBe(mfn);
    first.release();
    expect(guest.flags(9)).toBe(WRITTEN);
  });
  it('reaches past the frames that the guest asked for, where entries are empty', () => {
    expect(host.access(2047, { write: false })).toBe(abi.GNTST_general_error);
  });

  const cases: Array<{ name: string; ref: () => number; write?: boolean; expect: number }> = [
    { name: 'no entry', ref: () => 2048, expect: abi.GNTST_bad_gntref },
    { name: 'far from any entry', ref: () => 2 ** 32 - 1, expect: abi.GNTST_bad_gntref },
    { name: 'nothing granted', ref: () => 20, expect: abi.GNTST_general_error },
    { name: 'granted to the guest', ref: () => guest.grant(9, 300), expect: abi.GNTST_general_error },
    {
      name: 'a part of a page',
      ref: () => toHost(300, 1 | abi.GTF_sub_page),
      expect: abi.GNTST_general_error,
    },
    {
      name: 'read-only, to write',
      ref: () => toHost(300, 1 | abi.GTF_readonly),
      write: true,
      expect: abi.GNTST_general_error,
    },
    { name: 'no frame', ref: () => toHost(2 ** 32 - 1), expect: abi.GNTST_bad_page },
    { name: "the first of Xen's frames", ref: () => toHost(NR_PAGES), expect: abi.GNTST_bad_page },
    { name: 'a frame that was given up', ref: () => toHost(givenUp()), expect: abi.GNTST_bad_page },
    {
      name: 'a page table to write',
      ref: () => toHost(L1_MFN),
      write: true,
      expect: abi.GNTST_general_error,
    },
  ];
  const givenUp = () => {
    guest.memory.writeU32(gpa(PAGE_INFO + 600 * 8), PGC_xen);
    return 600;
  };
  it.each(cases)('refuses: $name', ({ ref, write = false, expect: expected }) => {
    expect(host.access(ref(), { write })).toBe(expected);
    expect(guest.flags(9) & (abi.GTF_reading | abi.GTF_writing)).toBe(0);
  });
  it.each([
    { name: 'a page table to read', mfn: L1_MFN, write: false },
    { name: 'a page that is mapped writable', mfn: 100, write: true },
    { name: 'a page that nothing maps', mfn: 600, write: true },
  ])('gives $name', ({ mfn, write }) => {
    expect(host.access(toHost(mfn), { write })).toMatchObject({ mfn });
  });
});

describe('entries that the guest changes meanwhile', () => {
  /** Memory in which another vCPU writes the entry right before each exchange. */
  function racing(changes: readonly number[]): { entries: GrantEntries; word: () => number } {
    let word = abi.GTF_permit_access;
    const queue = [...changes];
    const memory = {
      atomicLoad32: () => word,
      compareExchange32: (_at: number, expected: number, value: number) => {
        word = queue.shift() ?? word;
        const found = word;
        if (found === expected) word = value;
        return found;
      },
      atomicAnd32: (_at: number, bits: number) => {
        word &= bits;
      },
      readU32: () => 300,
    } as unknown as GuestMemory;
    return { entries: new GrantEntries(memory, { firstMfn: 0, count: 1 }), word: () => word };
  }
  const pwt = abi.GTF_permit_access | abi.GTF_PWT;
  const cases: Array<{ name: string; changes: number[]; write?: boolean; expect: number; word: number }> = [
    { name: 'once', changes: [pwt], expect: abi.GNTST_okay, word: pwt | abi.GTF_reading },
    { name: 'four times', changes: [pwt, 1, pwt, 1], expect: abi.GNTST_okay, word: USED },
    { name: 'five times', changes: [pwt, 1, pwt, 1, pwt], expect: abi.GNTST_general_error, word: pwt },
    { name: 'to invalid', changes: [0], expect: abi.GNTST_general_error, word: 0 },
    { name: 'to another domain', changes: [0x30001], expect: abi.GNTST_general_error, word: 0x30001 },
    { name: 'to read-only, for a reader', changes: [5], expect: abi.GNTST_okay, word: 5 | abi.GTF_reading },
    {
      name: 'to read-only, for a writer',
      changes: [5],
      write: true,
      expect: abi.GNTST_general_error,
      word: 5,
    },
  ];
  it.each(cases)('$name', ({ changes, write = false, expect: expected, word }) => {
    const race = racing(changes);
    expect(race.entries.acquire(0, 0, { write, map: true }, false)).toBe(expected);
    expect(race.word()).toBe(word);
  });
  it('stay in use by those that were there before', () => {
    const { entries, word } = racing([]);
    const active = new ActiveGrants({ entries, domid: 0, nrFrames: () => 1, checkFrame: () => 0 });
    const use = { write: false, map: true };
    expect(active.acquire(3, GNTPIN_hstr_inc, use)).toMatchObject<ActiveGrant>({ mfn: 300 });
    expect(active.acquire(3, GNTPIN_hstw_inc, { write: true, map: true })).toMatchObject({ mfn: 300 });
    active.release(3, GNTPIN_hstr_inc);
    expect(word()).toBe(WRITTEN);
    active.release(3, GNTPIN_hstw_inc);
    expect(word()).toBe(abi.GTF_permit_access);
    expect(() => active.release(3, GNTPIN_hstw_inc)).toThrow(RangeError);
  });
});

it('swaps of what the host holds are refused, as its mark is in the entry', () => {
  const access = held(host.access(toHost(300), { write: false }));
  expect(guest.swap(9, 10)).toBe(abi.GNTST_eagain);
  access.release();
  expect([guest.swap(9, 10), guest.memory.readU32(gpa(GRANT_MFN * 4096 + 10 * 8 + 4))]).toEqual([0, 300]);
});
