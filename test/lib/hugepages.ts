/** Sets huge pages aside for a test, and gives them back. */
import { readFileSync, writeFileSync } from 'node:fs';
import { hostMemory } from '../../src/kvm/index.js';

const KIB = { '2M': 2048, '1G': 2 ** 20 } as const;
export type HugepageSize = keyof typeof KIB;

/** Pages that nobody uses and nobody was promised. */
export function freeHugepages(size: HugepageSize): number {
  const pool = hostMemory().hugepages.find(({ sizeKiB }) => sizeKiB === KIB[size]);
  return pool === undefined ? 0 : pool.free - (pool.reserved ?? 0);
}

/**
 * Makes `pages` of them free. Why there are not so many, if it cannot: it takes root, and memory in one piece.
 * @param undo gets what gives them back
 */
export function reserveHugepages(
  size: HugepageSize,
  pages: number,
  undo: (giveBack: () => void) => void,
): string | undefined {
  const file = `/sys/kernel/mm/hugepages/hugepages-${KIB[size]}kB/nr_hugepages`;
  let before: string;
  try {
    before = readFileSync(file, 'utf8');
    writeFileSync(file, `${Number(before) + pages}`);
  } catch (error) {
    return `cannot set pages of ${size} aside: ${(error as Error).message}`;
  }
  undo(() => writeFileSync(file, before));
  const free = freeHugepages(size);
  return free >= pages ? undefined : `the host found ${free} pages of ${size}, ${pages} are needed`;
}
