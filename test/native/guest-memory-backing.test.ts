/** What guest memory is made of: the kernel's own word in smaps, or a refusal that tells what to do. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { GuestMemory, type GuestMemoryOptions, gpa } from '../../src/kvm/index.js';

const MIB = 2 ** 20;
const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '');
const free2M = Number(read('/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages'));
const noThp = !/\[(always|madvise)\]/.test(read('/sys/kernel/mm/transparent_hugepage/enabled'));
const noKsm = !existsSync('/sys/kernel/mm/ksm');

/** VmFlags of the mapping of exactly that size. */
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
const kinds: Array<[GuestMemoryOptions, number, has: string[], hasNot: string[], missing: string | false]> = [
  [{}, 38 * MIB, ['sh'], ['mg', 'ht', 'hg'], false],
  [{ mergeable: true }, 42 * MIB, ['mg'], ['sh'], noKsm && 'no KSM'],
  [{ hugepages: 'thp' }, 46 * MIB, ['hg'], ['sh'], noThp && 'transparent huge pages are off'],
  [
    { hugepages: 'thp', mergeable: true },
    50 * MIB,
    ['hg', 'mg'],
    ['sh'],
    (noThp || noKsm) && 'no KSM or THP',
  ],
  [
    { hugepages: '2M' },
    54 * MIB,
    ['ht', 'sh'],
    ['mg'],
    free2M < 27 && `${free2M} free pages of 2M, 27 needed`,
  ],
  [{ numaNode: 0 }, 58 * MIB, ['sh'], [], !existsSync('/sys/devices/system/node/node0') && 'no NUMA'],
];

describe('memory of', () => {
  for (const [options, bytes, has, hasNot, missing] of kinds) {
    it(`${JSON.stringify(options)} is what the kernel calls so`, ({ skip }) => {
      skip(missing !== false, missing || '');
      const memory = GuestMemory.create(bytes, options);
      memory.writeU8(gpa(bytes - 1), 9);
      const flags = flagsOf(bytes);
      expect(flags).toEqual(expect.arrayContaining(has));
      expect(flags.filter((flag) => hasNot.includes(flag))).toEqual([]);
      expect(memory.readU8(gpa(bytes - 1))).toBe(9);
      memory.close();
    });
  }
});

describe('refusals', () => {
  const refused: Array<[what: object, bytes: number, code: string, text: RegExp]> = [
    [
      { hugepages: '2M' },
      16 * 1024 * MIB,
      'ENOHUGEPAGES',
      /8192 pages of 2M are needed, \d+ are free; write /,
    ],
    [{ hugepages: '1G' }, 16 * 1024 * MIB, 'ENOHUGEPAGES', /1G/],
    [{ hugepages: '2M' }, 3 * MIB, 'EINVAL', /multiple of 2097152/],
    [{ hugepages: '2M', mergeable: true }, 4 * MIB, 'EINVAL', /KSM does not merge hugetlb pages/],
    [{ hugepages: '4K' }, 4 * MIB, 'EINVAL', /2M, 1G or thp/],
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
