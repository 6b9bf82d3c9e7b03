// Runs a guest in memory of each NUMA node, of each kind: node numa.mjs KERNEL KIND... (none, 2M, thp)
// For each a line of JSON: { kind, node, KiB }: which nodes the memory is on that is bound to one, as the kernel says.
import { readFileSync } from 'node:fs';
import { createDomain } from 'xenner';

const [kernel = '', ...kinds] = process.argv.slice(2);
const NODES = [0, 1];

// Documentation/filesystems/proc.rst: `7f00 bind:1 anon=5 dirty=5 N1=5 kernelpagesize_kB=4`
function boundKiB() {
  /** @type {Record<string, number>} */
  const found = {};
  for (const line of readFileSync('/proc/self/numa_maps', 'latin1').split('\n')) {
    if (!/^\w+ bind/.test(line)) continue;
    const pageKiB = Number(/kernelpagesize_kB=(\d+)/.exec(line)?.[1]);
    for (const [, node = '', pages] of line.matchAll(/ (N\d+)=(\d+)/g))
      found[node] = (found[node] ?? 0) + Number(pages) * pageKiB;
  }
  return found;
}

for (const kind of kinds) {
  for (const node of NODES) {
    const hugepages = /** @type {'none' | '2M' | 'thp'} */ (kind);
    const domain = await createDomain({ kernel, engine: 'kvm', memoryMiB: 64, hugepages, numaNode: node });
    await new Promise((resolve) => {
      domain.on('console', (chunk) => chunk.includes('tick') && resolve(undefined));
    });
    console.log(JSON.stringify({ kind, node, KiB: boundKiB() }));
    await domain.destroy();
  }
}
