/** A built guest, looked at as the guest would: through its own page tables and start_info. */
import { describe, expect, it } from 'vitest';
import { GuestMemory, gpa } from '../../../src/kvm/guest-memory.js';
import { start_info } from '../../../src/xenner/abi/xen.js';
import { type BuildOptions, buildGuest, type StartOfDay } from '../../../src/xenner/builder/build.js';
import { parseElf } from '../../../src/xenner/builder/elf.js';
import { checkCmdline, checkMemoryMiB } from '../../../src/xenner/builder/guest-options.js';
import { hypercallPage } from '../../../src/xenner/builder/hypercall-page.js';
import { BufferSource } from '../../../src/xenner/builder/image-source.js';
import type { KernelImage } from '../../../src/xenner/builder/kernel-image.js';
import { requirePvKernel } from '../../../src/xenner/builder/pv-kernel.js';
import { readXenParams } from '../../../src/xenner/builder/xen-params.js';
import { findProfile, LATEST } from '../../../src/xenner/profile/profiles.js';
import { errorOf, LINUX_BASE, LINUX_NOTES, makeElf, makeKernel, makeNotes } from './images.js';

const NR_PAGES = 64 * 256;

class TestMemory {
  readonly guest = GuestMemory.create(NR_PAGES * 4096);
  readonly all = Buffer.from(this.guest.native.view(0, this.guest.size));
}

function open(file: Buffer): KernelImage {
  const source = new BufferSource(file);
  const elf = parseElf(source);
  const params = readXenParams(source, elf);
  return { source, elf, params: params!, pv: requirePvKernel(elf, params) };
}

function build(file: Buffer, changes: Partial<BuildOptions> = {}): { memory: TestMemory; start: StartOfDay } {
  const memory = new TestMemory();
  const start = buildGuest(memory.guest, open(file), {
    nrPages: NR_PAGES,
    cmdline: 'console=hvc0',
    sharedInfo: gpa(NR_PAGES * 4096),
    storeEvtchn: 1,
    ...findProfile(LATEST).startInfo,
    consoleEvtchn: 2,
    ...changes,
  });
  return { memory, start };
}

interface Walked {
  gpa: number;
  writable: boolean;
  user: boolean;
}

/** The CPU's walk. */
function walk(memory: TestMemory, l4: number, va: bigint): Walked | undefined {
  let table = l4;
  let writable = true;
  let user = true;
  for (const shift of [39n, 30n, 21n, 12n]) {
    const entry = memory.all.readBigUInt64LE(table + Number((va >> shift) & 511n) * 8);
    if ((entry & 1n) === 0n) return undefined;
    writable &&= (entry & 2n) !== 0n;
    user &&= (entry & 4n) !== 0n;
    table = Number(entry & 0xffffffffff000n);
  }
  return { gpa: table + Number(va & 4095n), writable, user };
}

const initrd = Buffer.alloc(100_001, 'initrd contents ');

describe.each([
  { name: 'all in the initial mapping', notes: LINUX_NOTES },
  { name: 'p2m and initrd elsewhere', notes: { ...LINUX_NOTES, INIT_P2M: 0x8000000000n, MOD_START_PFN: 1 } },
])('a guest with $name', ({ notes }) => {
  const kernel = makeKernel(notes, { memoryBytes: 0x20000 });
  const { memory, start } = build(kernel, { initrd: new BufferSource(initrd) });
  const at = (va: bigint): Walked => walk(memory, start.ptBase.gpa, va)!;
  const info = start_info.decode(memory.all, start.startInfo.gpa);
  const elsewhere = 'INIT_P2M' in notes;

  it('has its kernel where it is linked, and zeros behind', () => {
    const first = at(LINUX_BASE + 0x100000n).gpa;
    expect(memory.all.readUInt32LE(first)).toBe(1);
    expect(memory.all.readUInt32LE(first + 65532)).toBe(65533);
    expect(memory.all.subarray(first + 65536, first + 0x20000).every((byte) => byte === 0)).toBe(true);
    expect(start.entry).toBe(LINUX_BASE + 0x100000n);
  });

  it('maps every frame of the initial mapping at its place, page tables read-only, nothing for user mode', () => {
    const tables = new Set(start.pageTables.map(({ pfn }) => pfn));
    let va = LINUX_BASE;
    for (let pfn = 0; ; pfn++, va += 4096n) {
      const walked = walk(memory, start.ptBase.gpa, va);
      if (walked === undefined) {
        expect(va % (4n << 20n)).toBe(0n);
        break;
      }
      expect(walked).toEqual({ gpa: pfn * 4096, writable: !tables.has(pfn), user: false });
    }
    expect(va).toBeGreaterThanOrEqual(start.stack + (512n << 10n));
  });

  it('has nothing else in its tables', () => {
    const l4 = Array.from({ length: 512 }, (_, slot) => slot).filter(
      (slot) => memory.all.readBigUInt64LE(start.ptBase.gpa + slot * 8) !== 0n,
    );
    expect(l4).toEqual(elsewhere ? [1, 511] : [511]);
    const linked = new Set<number>();
    for (const { level, pfn } of start.pageTables) {
      if (level === 1) continue;
      for (let slot = 0; slot < 512; slot++) {
        const entry = memory.all.readBigUInt64LE(pfn * 4096 + slot * 8);
        if (entry !== 0n) linked.add(Number((entry & 0xffffffffff000n) >> 12n));
      }
    }
    const below = start.pageTables.filter(({ level }) => level < 4).map(({ pfn }) => pfn);
    expect([...linked].sort()).toEqual(below.sort());
  });

  it('has a start_info that says so', () => {
    expect(info).toMatchObject({
      magic: 'xen-3.0-x86_64',
      nr_pages: BigInt(NR_PAGES),
      shared_info: BigInt(NR_PAGES * 4096),
      flags: elsewhere ? 0b11000 : 0b10000,
      store_mfn: BigInt(start.storePfn),
      store_evtchn: 1,
      console: { domU: { mfn: BigInt(start.consolePfn), evtchn: 2 } },
      pt_base: start.ptBase.va,
      nr_pt_frames: BigInt(start.nrPtFrames),
      mod_len: 100_001n,
      cmd_line: 'console=hvc0',
      first_p2m_pfn: BigInt(start.p2m.pfn),
      nr_p2m_frames: BigInt(start.p2m.pages),
    });
    expect(at(start.startInfo.va)).toEqual({ gpa: start.startInfo.gpa, writable: true, user: false });
    expect(at(info.pt_base)).toEqual({ gpa: start.ptBase.gpa, writable: false, user: false });
    expect(at(start.stack - 1n).writable).toBe(true);
  });

  it('has its initrd', () => {
    const from = elsewhere ? Number(info.mod_start) * 4096 : at(info.mod_start).gpa;
    expect(from).toBe(start.initrd!.pfn * 4096);
    expect(memory.all.subarray(from, from + initrd.length).equals(initrd)).toBe(true);
    const mapped = walk(memory, start.ptBase.gpa, LINUX_BASE + BigInt(from)) !== undefined;
    expect(mapped).toBe(!elsewhere);
  });

  it('has an identity p2m list where start_info says', () => {
    for (const pfn of [0, 1, 511, 512, NR_PAGES - 1]) {
      const entry = at(info.mfn_list + BigInt(pfn * 8));
      expect(entry.writable).toBe(true);
      expect(memory.all.readBigUInt64LE(entry.gpa)).toBe(BigInt(pfn));
    }
    expect(start.p2m.va).toBe(info.mfn_list);
  });
});

describe('other kernels', () => {
  it('get a hypercall page', () => {
    const va = LINUX_BASE + 0x102000n;
    const { memory, start } = build(makeKernel({ ...LINUX_NOTES, HYPERCALL_PAGE: va }));
    expect(start.hypercallPage).toEqual({ va, gpa: 0x102000 });
    expect(memory.all.subarray(0x102000, 0x103000).equals(hypercallPage())).toBe(true);
    expect(memory.all.readUInt32LE(0x101ffc)).toBe(0x1ffd);
    expect(memory.all.readUInt32LE(0x103000)).toBe(0x3001);
  });

  it('without one have no stubs, and without an initrd none', () => {
    const { memory, start } = build(makeKernel());
    expect(start.hypercallPage).toBeUndefined();
    expect(start.initrd).toBeUndefined();
    expect(start_info.decode(memory.all, start.startInfo.gpa)).toMatchObject({ mod_start: 0n, mod_len: 0n });
  });

  it('may have segments anywhere in a page, and large ones with holes of zeros', () => {
    const data = Buffer.alloc(700_000);
    data.fill('a', 0, 10);
    data.fill('b', 300_000, 300_010);
    data.fill('c', 699_990);
    const file = makeElf({
      segments: [
        { paddr: 0x100000n, data: makeKernel().subarray(0, 100) },
        { paddr: 0x200123n, data },
        { type: 4, paddr: 0n, data: makeNotes(LINUX_NOTES) },
      ],
    });
    const { memory } = build(file);
    expect(memory.all.subarray(0x200123, 0x200123 + data.length).equals(data)).toBe(true);
  });
});

describe('the hypercall page', () => {
  const page = Buffer.from(hypercallPage());
  it.each([
    { call: 0, code: '514153b8000000000f05415b59c3' },
    { call: 1, code: '514153b8010000000f05415b59c3' },
    { call: 29, code: '514153b81d0000000f05415b59c3' },
    { call: 127, code: '514153b87f0000000f05415b59c3' },
    { call: 23, code: '51415350b8170000000f05' },
  ])('has call $call', ({ call, code }) => {
    const stub = page.toString('hex', call * 32, call * 32 + 32);
    expect(stub).toBe(code.padEnd(64, 'c'));
  });
  it('fills a page', () => expect(page.length).toBe(4096));
});

describe('options', () => {
  it.each([
    { text: 'x'.repeat(1023), ok: true },
    { text: 'x'.repeat(1024), ok: false },
    { text: 'é'.repeat(512), ok: false },
    { text: 'a\0b', ok: false },
    { text: '', ok: true },
  ])('command line of $text.length characters: $ok', ({ text, ok }) => {
    if (ok) {
      const { memory, start } = build(makeKernel(), { cmdline: text });
      expect(start_info.decode(memory.all, start.startInfo.gpa).cmd_line).toBe(text);
    } else {
      expect(errorOf(() => build(makeKernel(), { cmdline: text })).code).toBe('ECMDLINE');
      expect(errorOf(() => checkCmdline(text)).code).toBe('ECMDLINE');
    }
  });

  it.each([63, 64.5, -1, 0, 16385, Number.NaN, Number.POSITIVE_INFINITY])(
    '%d MiB are refused',
    (memoryMiB) => {
      expect(errorOf(() => checkMemoryMiB(memoryMiB)).code).toBe('EMEMORY_RANGE');
    },
  );
  it.each([64, 16384])('%d MiB are accepted', (memoryMiB) => {
    expect(() => checkMemoryMiB(memoryMiB)).not.toThrow();
  });
});
