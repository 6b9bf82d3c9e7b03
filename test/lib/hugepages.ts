/** Sets huge pages aside for a test, and gives them back. */
import { closeSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostMemory } from '../../src/kvm/index.js';
import { isAloneWith, openLock } from '../../src/mgmt/state/exclusively.js';

const KIB = { '2M': 2048, '1G': 2 ** 20 } as const;
export type HugepageSize = keyof typeof KIB;

/** Pages that nobody uses and nobody was promised. */
export function freeHugepages(size: HugepageSize): number {
  const pool = hostMemory().hugepages.find(({ sizeKiB }) => sizeKiB === KIB[size]);
  return pool === undefined ? 0 : pool.free - (pool.reserved ?? 0);
}

/** Test files count the pages that are free: one at a time. */
const LOCK = join(tmpdir(), 'xenner-test-hugepages');
const LOCK_TIMEOUT_MS = 60_000;
const LOCK_RETRY_MS = 50;
let holders = 0;
let lock = -1;

function takeTurn(): void {
  if (holders++ > 0) return;
  for (const until = Date.now() + LOCK_TIMEOUT_MS; Date.now() < until; ) {
    lock = openLock(LOCK);
    if (isAloneWith(lock)) return;
    closeSync(lock);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.random() * LOCK_RETRY_MS);
  }
  holders--;
  throw new Error(`${LOCK} is locked by another test`);
}

function endTurn(): void {
  if (--holders === 0) closeSync(lock);
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
  takeTurn();
  try {
    before = readFileSync(file, 'utf8');
    writeFileSync(file, `${Number(before) + pages}`);
  } catch (error) {
    endTurn();
    return `cannot set pages of ${size} aside: ${(error as Error).message}`;
  }
  undo(() => {
    writeFileSync(file, before);
    endTurn();
  });
  const free = freeHugepages(size);
  return free >= pages ? undefined : `the host found ${free} pages of ${size}, ${pages} are needed`;
}
