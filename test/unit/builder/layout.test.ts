/**
 * Start-of-day layout: the rules in xen/include/public/xen.h, checked on many kernels and initrds rather than on chosen
 * ones, because the page tables' place depends on everything before them.
 */
import { describe, expect, it } from 'vitest';
import { type Layout, planLayout } from '../../../src/xenner/builder/layout.js';
import type { PvKernel } from '../../../src/xenner/builder/pv-kernel.js';
import { errorOf, LINUX_BASE } from './images.js';

const MIB = 2 ** 20;
const MIB4 = 4n << 20n;

function kernel(bytes: number, changes: Partial<PvKernel> = {}): PvKernel {
  const virtBase = changes.virtBase ?? LINUX_BASE;
  return {
    virtBase,
    entry: virtBase,
    start: virtBase,
    end: virtBase + BigInt(bytes),
    paddrOffset: 0n,
    unmappedInitrd: false,
    bsdSymtab: false,
    ...changes,
  };
}

const pages = (bytes: number): number => Math.ceil(bytes / 4096);

/** [first, end) of everything that takes frames, in frames. */
function elements(layout: Layout, kernelBytes: number): Array<{ name: string; from: number; to: number }> {
  const area = (name: string, { pfn, pages }: { pfn: number; pages: number }) => ({
    name,
    from: pfn,
    to: pfn + pages,
  });
  return [
    { name: 'kernel', from: 0, to: pages(kernelBytes) },
    ...(layout.initrd ? [area('initrd', layout.initrd)] : []),
    area('p2m', layout.p2m),
    { name: 'start_info', from: layout.startInfoPfn, to: layout.startInfoPfn + 1 },
    { name: 'store', from: layout.storePfn, to: layout.storePfn + 1 },
    { name: 'console', from: layout.consolePfn, to: layout.consolePfn + 1 },
    area('page tables', layout.ptFrames),
    { name: 'stack', from: layout.bootStackPfn, to: layout.bootStackPfn + 1 },
  ];
}

function checkRules(layout: Layout, kernelBytes: number, virtBase: bigint): void {
  const all = elements(layout, kernelBytes).sort((a, b) => a.from - b.from);
  for (const [i, { name, from, to }] of all.entries()) {
    if (i > 0) expect(from, `${name} after ${all[i - 1]!.name}`).toBeGreaterThanOrEqual(all[i - 1]!.to);
    expect(to, name).toBeLessThanOrEqual(layout.nrPages);
  }
  const mapping = layout.mappings[0]!;
  expect(mapping).toMatchObject({ va: virtBase, pfn: 0 });
  const end = virtBase + BigInt(mapping.pages) * 4096n;
  expect(end % MIB4, 'rule 2: ends on a 4 MiB boundary').toBe(0n);
  const last = layout.bootStackPfn + 1;
  expect(mapping.pages - last, 'rule 7: 512 KiB of padding').toBeGreaterThanOrEqual(128);
  expect(mapping.pages - last, 'no more than another 4 MiB').toBeLessThan(128 + 1024 + 129);
  // What Linux takes away of the initial mapping: up to the 4 MiB boundary after the tables.
  const tablesEnd = virtBase + BigInt(layout.ptFrames.pfn + layout.ptFrames.pages) * 4096n;
  expect(((tablesEnd + MIB4 - 1n) / MIB4) * MIB4, 'Linux cleans all of it').toBe(end);
  const own = layout.pageTables.list().filter(({ pfn }) => pfn < mapping.pages);
  expect(own.length, 'every table frame is used').toBe(layout.ptFrames.pages);
  expect(layout.pageTables.list()[0]).toEqual({ level: 4, pfn: layout.ptFrames.pfn });
}

describe('a layout', () => {
  const p2m = [undefined, 0x8000000000n];
  const cases = p2m.flatMap((initP2m) =>
    [false, true].flatMap((unmappedInitrd) =>
      [0n, LINUX_BASE, 0xffffffff80001000n, 0xffff880000000000n].map((virtBase) => ({
        initP2m,
        unmappedInitrd,
        virtBase,
      })),
    ),
  );
  it.each(cases)('keeps the rules: base $virtBase, p2m $initP2m, unmapped initrd $unmappedInitrd', (spec) => {
    for (let i = 0; i < 150; i++) {
      const kernelBytes = 1 + ((i * 677_003) % (24 * MIB));
      const initrdBytes = i % 3 === 0 ? 0 : (i * 1_234_577) % (40 * MIB);
      const { initP2m, ...rest } = spec;
      const changes = { ...rest, ...(initP2m !== undefined && initP2m < spec.virtBase && { initP2m }) };
      const layout = planLayout(kernel(kernelBytes, changes), 128 * 256 + i, initrdBytes);
      checkRules(layout, kernelBytes, spec.virtBase);
    }
  });

  it('maps the initrd unless the kernel can do without', () => {
    expect(planLayout(kernel(MIB), 65536, 5000).initrd).toEqual({ pfn: 256, pages: 2, mapped: true });
    const layout = planLayout(kernel(MIB, { unmappedInitrd: true }), 65536, 5000);
    expect(layout.initrd).toEqual({ pfn: layout.mappings[0]!.pages, pages: 2, mapped: false });
    expect(planLayout(kernel(MIB), 65536, 0).initrd).toBeUndefined();
  });

  it('counts the tables of a p2m list of its own to the list', () => {
    const layout = planLayout(kernel(MIB, { initP2m: 0x8000000000n }), 65536, 0);
    // 512 KiB of list: an L3, an L2 and an L1 beside the L4 that is there.
    expect(layout.p2m).toEqual({ va: 0x8000000000n, pfn: layout.mappings[0]!.pages, pages: 128 + 3 });
    expect(layout.mappings[1]).toEqual({ va: 0x8000000000n, pfn: layout.p2m.pfn, pages: 128 });
  });

  it('leaves an empty page after a kernel that looks for symbols there', () => {
    expect(planLayout(kernel(MIB, { bsdSymtab: true }), 65536, 0).p2m.pfn).toBe(257);
  });

  it('takes an initrd of 3 GiB', () => {
    const layout = planLayout(
      kernel(MIB, { unmappedInitrd: true, initP2m: 0x8000000000n }),
      4096 * 256,
      3 * 2 ** 30,
    );
    expect(layout.initrd).toMatchObject({ pages: 786432, mapped: false });
    expect(layout.mappings[0]!.pages).toBe(1024);
  });
});

describe('what does not fit', () => {
  it.each([
    { name: 'the kernel', kernel: kernel(65 * MIB), nrPages: 64 * 256, initrd: 0, code: 'EMEMORY_TOO_SMALL' },
    {
      name: 'a mapped initrd',
      kernel: kernel(30 * MIB),
      nrPages: 64 * 256,
      initrd: 40 * MIB,
      code: 'EMEMORY_TOO_SMALL',
    },
    {
      name: 'an unmapped initrd',
      kernel: kernel(30 * MIB, { unmappedInitrd: true }),
      nrPages: 64 * 256,
      initrd: 33 * MIB,
      code: 'EMEMORY_TOO_SMALL',
    },
    {
      name: 'the padding',
      kernel: kernel(64 * MIB - 600_000),
      nrPages: 64 * 256,
      initrd: 0,
      code: 'EMEMORY_TOO_SMALL',
    },
    {
      name: 'a mapped initrd below the last address',
      kernel: kernel(MIB),
      nrPages: 4096 * 256,
      initrd: 2 ** 31,
      code: 'EINITRD_TOO_BIG',
    },
    {
      name: 'a p2m list just below the kernel',
      kernel: kernel(MIB, { initP2m: LINUX_BASE - 4096n }),
      nrPages: 65536,
      initrd: 0,
      code: 'EKERNEL_NOT_PV',
    },
    {
      name: 'a kernel that spans the address space',
      kernel: kernel(0, { virtBase: 0n, end: 1n << 64n }),
      nrPages: 65536,
      initrd: 0,
      code: 'EMEMORY_TOO_SMALL',
    },
  ])('is refused: $name', ({ kernel, nrPages, initrd, code }) => {
    expect(errorOf(() => planLayout(kernel, nrPages, initrd)).code).toBe(code);
  });

  it('is said with the sizes and the way out', () => {
    const error = errorOf(() => planLayout(kernel(60 * MIB, { unmappedInitrd: true }), 64 * 256, 30 * MIB));
    expect(error.message).toMatch(
      /^the kernel \(60 MiB\), its initrd \(30 MiB\) and the first tables need 9\d MiB, but the guest has 64 MiB; give it more memory$/,
    );
  });
});
