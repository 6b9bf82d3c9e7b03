/** The first page tables are taken on trust: that must come to what validating and pinning them does, to the last byte. */
import { afterEach, expect, it } from 'vitest';
import { GuestMemory, gpa } from '../../../src/kvm/guest-memory.js';
import { buildGuest, type StartOfDay } from '../../../src/xenner/builder/build.js';
import { parseElf } from '../../../src/xenner/builder/elf.js';
import { BufferSource } from '../../../src/xenner/builder/image-source.js';
import { requirePvKernel } from '../../../src/xenner/builder/pv-kernel.js';
import { readXenParams } from '../../../src/xenner/builder/xen-params.js';
import { markXenFrames } from '../../../src/xenner/domain/xen-tables.js';
import { PageTypes } from '../../../src/xenner/mm/page-types.js';
import { layoutXenFrames, PAGE } from '../../../src/xenner/monitor/frames.js';
import { holeEntries } from '../../../src/xenner/monitor/install.js';
import { Area, DOMAIN_AREA, domain_area } from '../../../src/xenner/monitor/vcpu-area.js';
import { findProfile, LATEST } from '../../../src/xenner/profile/profiles.js';
import { LINUX_NOTES, makeKernel } from '../builder/images.js';
import { pinInitialTables } from '../hypercall/harness.js';

const NR_PAGES = 64 * 256;
const frames = layoutXenFrames(NR_PAGES, 1, 4);

const open: GuestMemory[] = [];
afterEach(() => {
  for (const memory of open.splice(0)) memory.close();
});

/** A built guest's memory after `take` has dealt with its tables. */
function built(
  notes: object,
  initrdBytes: number,
  take: (pages: PageTypes, start: StartOfDay) => void,
): Buffer {
  const memory = GuestMemory.create(frames.totalPages * PAGE);
  open.push(memory);
  const source = new BufferSource(makeKernel(notes, { memoryBytes: 0x20000 }));
  const elf = parseElf(source);
  const params = readXenParams(source, elf)!;
  const start = buildGuest(
    memory,
    { source, elf, params, pv: requirePvKernel(elf, params) },
    {
      nrPages: NR_PAGES,
      cmdline: '',
      initrd: new BufferSource(Buffer.alloc(initrdBytes, 'initrd')),
      sharedInfo: frames.sharedInfo,
      storeEvtchn: 1,
      consoleEvtchn: 2,
      ...findProfile(LATEST).startInfo,
    },
  );
  const area = new Area(memory, gpa(frames.monitor + DOMAIN_AREA), domain_area);
  const hole = holeEntries(frames);
  area.set('xen_l4_entry', hole.xen);
  area.set('direct_l4_entry', hole.direct);
  markXenFrames(memory, frames);
  take(new PageTypes({ ...frames, memory, area }), start);
  return Buffer.from(memory.copyOut(gpa(0), memory.size));
}

it.each([
  { what: 'all in the initial mapping', notes: LINUX_NOTES, initrdBytes: 100_001 },
  {
    what: 'p2m and initrd elsewhere',
    notes: { ...LINUX_NOTES, INIT_P2M: 0x8000000000n, MOD_START_PFN: 1 },
    initrdBytes: 100_001,
  },
  { what: 'a large initrd in the mapping', notes: LINUX_NOTES, initrdBytes: 20_000_000 },
])('$what', ({ notes, initrdBytes }) => {
  const pinned = built(notes, initrdBytes, (pages, { ptBase }) => {
    expect(pinInitialTables(pages, ptBase.gpa / PAGE)).toBe(0);
  });
  const adopted = built(notes, initrdBytes, (pages, { pageTables, writable }) => {
    pages.adoptInitialTables(pageTables, writable);
  });
  expect(adopted.equals(pinned)).toBe(true);
});
