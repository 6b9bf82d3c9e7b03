// Kernels with several vCPUs that break their monitors and each other (test/fuzz/breaker), one after the other:
// node breakers.mjs KERNEL SEED COUNT. For each a line of JSON: { seed, end, ms }, how it ended and how long it took to end it
// once it was told to; at last { leftOpen }: descriptors more than after the first one.
import { readdirSync } from 'node:fs';
import { createDomain } from 'xenner';

const [kernel = '', seed, count] = process.argv.slice(2);
/** One that still lives is ended then. */
const PATIENCE_MS = 3000;
const first = Number(seed);
/** @param {object} answer */
const tell = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
const openFiles = () => readdirSync('/proc/self/fd').length;

/** @param {number} seed */
async function breakOne(seed) {
  const vcpus = 2 + (seed % 3);
  const cmdline = `seed=${seed} vcpus=${vcpus}`;
  const config = { kernel, cmdline, vcpus, memoryMiB: 64, fastPaths: seed % 2 === 0 };
  const domain = await createDomain({ ...config, engine: 'kvm', onReboot: 'end' });
  let toldAt = Number.NaN;
  const late = setTimeout(() => {
    toldAt = performance.now();
    void domain.destroy();
  }, PATIENCE_MS);
  const { reason, crash } = await domain.wait();
  clearTimeout(late);
  const ms = Number.isNaN(toldAt) ? 0 : Math.round(performance.now() - toldAt);
  await domain.destroy();
  tell({ seed, end: crash?.why ?? reason, ms });
}

await breakOne(first);
const before = openFiles();
for (let i = 1; i < Number(count); i++) await breakOne(first + i);
for (let i = 0; i < 50 && openFiles() > before; i++) await new Promise((done) => setTimeout(done, 200));
tell({ leftOpen: openFiles() - before });
