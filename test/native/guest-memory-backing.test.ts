/**
 * What guest memory is made of: the kernel's own word in smaps, or a refusal that tells what to do. Huge pages are set aside
 * by whoever may; nothing else among the tests uses any.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createDomain } from 'xenner';
import { backingForKvm } from '../../src/kvm/guest-memory-backing.js';
import { GuestMemory, type GuestMemoryOptions, gpa, hasSoftCpu, hostMemory } from '../../src/kvm/index.js';
import { freeHugepages, type HugepageSize, reserveHugepages } from '../lib/hugepages.js';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const GUESTS = join(import.meta.dirname, '../guest');

const undo: (() => void)[] = [];
afterEach(() => {
  for (const giveBack of undo.splice(0)) giveBack();
});
const reserve = (size: HugepageSize, pages: number) =>
  reserveHugepages(size, pages, (giveBack) => undo.push(giveBack));

const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '');
const noThp = !/\[(always|madvise)\]/.test(read('/sys/kernel/mm/transparent_hugepage/enabled'));
const noNode = !existsSync('/sys/devices/system/node/node0');
const noKsm = !existsSync('/sys/kernel/mm/ksm');

/** VmFlags of the mapping of exactly that size, or of the whole huge pages that it takes. */
function flagsOf(bytes: number): string[] {
  const blocks = read('/proc/self/smaps').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const block = blocks.find((each) => new RegExp(`^Size: +${bytes / 1024} kB$`, 'm').test(each));
  return (
    /^VmFlags: (.*)$/m
      .exec(block ?? '')?.[1]
      ?.trim()
      .split(' ') ?? []
  );
}

// Sizes that nothing else has.
const kinds: Array<
  [GuestMemoryOptions, number, has: string[], hasNot: string[], missing: () => string | false | undefined]
> = [
  [{ hugepages: 'none' }, 36 * MIB, ['sh'], ['mg', 'ht', 'hg'], () => false],
  [{}, 38 * MIB, ['sh'], ['mg', 'ht', 'hg'], () => false],
  [{ mergeable: true }, 42 * MIB, ['mg'], ['sh'], () => noKsm && 'no KSM'],
  [{ hugepages: 'thp' }, 46 * MIB, ['hg'], ['sh'], () => noThp && 'transparent huge pages are off'],
  [
    { hugepages: 'thp', mergeable: true },
    50 * MIB,
    ['hg', 'mg'],
    ['sh'],
    () => (noThp || noKsm) && 'no KSM or THP',
  ],
  [{ hugepages: '2M' }, 54 * MIB, ['ht', 'sh'], ['mg'], () => reserve('2M', 27)],
  [{ hugepages: '2M' }, 55 * MIB, ['ht', 'sh'], ['mg'], () => reserve('2M', 28)],
  [{ hugepages: '1G' }, 56 * MIB, ['ht', 'sh'], ['mg'], () => reserve('1G', 1)],
  [{ numaNode: 0 }, 58 * MIB, ['sh'], [], () => noNode && 'no NUMA'],
  [
    { hugepages: '2M', numaNode: 0 },
    60 * MIB,
    ['ht', 'sh'],
    ['mg'],
    () => (noNode && 'no NUMA') || reserve('2M', 30 * hostMemory().nodes.length),
  ],
];

describe('memory of', () => {
  for (const [options, bytes, has, hasNot, missing] of kinds) {
    it(`${JSON.stringify(options)} is what the kernel calls so`, async ({ skip }) => {
      const why = missing();
      skip(!!why, why || '');
      const memory = GuestMemory.create(bytes, options);
      expect(memory.size).toBe(bytes);
      expect(memory.contains(bytes, 1)).toBe(false);
      memory.writeU8(gpa(bytes - 1), 9);
      const page = { '2M': 2 * MIB, '1G': GIB, thp: 1, none: 1 }[options.hugepages ?? 'none'];
      const size = Math.ceil(bytes / page) * page;
      const flags = flagsOf(size);
      expect(flags).toEqual(expect.arrayContaining(has));
      expect(flags.filter((flag) => hasNot.includes(flag))).toEqual([]);
      expect(memory.readU8(gpa(bytes - 1))).toBe(9);
      memory.close();
      await vi.waitFor(() => expect(flagsOf(size)).toEqual([]), { timeout: 10_000 });
    });
  }
});

describe('refusals', () => {
  const refused: Array<[what: object, bytes: number, code: string, text: RegExp]> = [
    [
      { hugepages: '2M' },
      16 * 1024 * MIB,
      'ENOHUGEPAGES',
      /8192 pages of 2M are needed, this host has \d+ free; write .*\/mm\/hugepages/,
    ],
    [{ hugepages: '1G' }, 16 * 1024 * MIB, 'ENOHUGEPAGES', /1G/],
    [{ hugepages: '2M' }, 3 * MIB + 1, 'EINVAL', /multiple of 4096/],
    [
      { hugepages: '2M', numaNode: 0 },
      16 * 1024 * MIB,
      'ENOHUGEPAGES',
      /8192 pages of 2M are needed, NUMA node 0 has \d+ free; write .*\/node0\/hugepages/,
    ],
    [{ hugepages: '2M', mergeable: true }, 4 * MIB, 'EINVAL', /KSM does not merge hugetlb pages/],
    [{ hugepages: '4K' }, 4 * MIB, 'EINVAL', /2M, 1G, thp, none, not 4K/],
    [{ numaNode: 1000 }, 4 * MIB, 'ENONODE', /no NUMA node 1000/],
    [{ numaNode: -1 }, 4 * MIB, 'ENONODE', /no NUMA node -1/],
    [{ numaNode: 0.5 }, 4 * MIB, 'ENONODE', /no NUMA node 0.5/],
  ];
  it.each(refused)('%j of %d bytes', (options, bytes, code, text) => {
    const create = () => GuestMemory.create(bytes, options as GuestMemoryOptions);
    expect(create).toThrow(expect.objectContaining({ code }));
    expect(create).toThrow(text);
  });
});

describe('a PV kernel', () => {
  let kernels: string;
  beforeAll(() => {
    kernels = mkdtempSync(join(tmpdir(), 'xenner-backing-'));
    execFileSync('make', ['-s', '-C', GUESTS, `OUT=${kernels}`, 'names=hello shutdown-reboot']);
  });
  afterAll(() => rmSync(kernels, { recursive: true }));

  for (const [hugepages, reserved] of [
    ['2M', 64],
    ['1G', 1],
  ] as const) {
    it(`in pages of ${hugepages} takes them from the host, and gives them back`, async ({ skip }) => {
      skip(!hasSoftCpu(), 'this build has no soft CPU');
      const why = reserve(hugepages, reserved);
      skip(why !== undefined, why);
      const before = freeHugepages(hugepages);
      const kernel = join(kernels, 'hello.elf');
      const domain = await createDomain({
        kernel,
        memoryMiB: 65,
        engine: 'soft',
        onReboot: 'end',
        hugepages,
      });
      // Xen's frames lie behind the guest's; a page that is not full counts as well.
      const taken = before - freeHugepages(hugepages);
      let text = '';
      domain.on('console', (chunk: Buffer) => {
        text += chunk.toString('latin1');
      });
      const end = await domain.wait();
      expect(taken).toBeGreaterThanOrEqual(hugepages === '2M' ? 33 : 1);
      expect(taken).toBeLessThanOrEqual(hugepages === '2M' ? 40 : 1);
      expect(`${text}[${end.reason}]\n`).toBe(readFileSync(join(GUESTS, 'hello/expected.txt'), 'utf8'));
      await vi.waitFor(() => expect(freeHugepages(hugepages)).toBe(before), { timeout: 30_000 });
    });
  }

  it('that reboots needs no more pages than it has', async ({ skip }) => {
    skip(!hasSoftCpu(), 'this build has no soft CPU');
    const why = reserve('1G', 1) && reserve('2M', 34);
    skip(why !== undefined, why);
    const hugepages = freeHugepages('1G') === 1 ? '1G' : '2M';
    const kernel = join(kernels, 'shutdown-reboot.elf');
    const domain = await createDomain({ kernel, memoryMiB: 64, engine: 'soft', hugepages });
    let reboots = 0;
    domain.on('reboot', () => {
      if (++reboots === 3) void domain.destroy();
    });
    expect(await domain.wait()).toEqual({ reason: 'destroyed' });
    expect(reboots).toBe(3);
  });
});

it('on KVM memory is transparent huge pages, unless something else was asked for, or KSM', ({ skip }) => {
  skip(noThp, 'transparent huge pages are off');
  expect(backingForKvm({})).toEqual({ hugepages: 'thp' });
  expect(backingForKvm({ numaNode: 0 })).toEqual({ hugepages: 'thp', numaNode: 0 });
  for (const options of [{ hugepages: 'none' }, { hugepages: '2M' }, { mergeable: true }] as const)
    expect(backingForKvm(options)).toEqual(options);
});
