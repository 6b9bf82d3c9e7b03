// Random reads of 4 KiB from a file in the page cache, 32 at once: FileIo with both engines, and Node.js's own readv.
// usage: node bench/file-io.mjs [--seconds N] [--depth N]
import { closeSync, mkdtempSync, openSync, readv, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { bundleKvm } from '../scripts/lib/kvm-bundle.mjs';

const BLOCK = 4096;
const FILE_BLOCKS = 16 * 1024;

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '3' }, depth: { type: 'string', default: '32' } },
});
const seconds = Number(values.seconds);
const depth = Number(values.depth);

/**
 * @param {string} name
 * @param {(buffers: Uint8Array[], position: number) => Promise<unknown>} read
 */
async function measure(name, read) {
  const end = performance.now() + seconds * 1000;
  const cpu = process.cpuUsage();
  const started = performance.now();
  let reads = 0;
  const worker = async () => {
    const buffers = [new Uint8Array(BLOCK)];
    while (performance.now() < end) {
      await read(buffers, Math.floor(Math.random() * FILE_BLOCKS) * BLOCK);
      reads++;
    }
  };
  await Promise.all(Array.from({ length: depth }, worker));
  const { user, system } = process.cpuUsage(cpu);
  const rate = reads / ((performance.now() - started) / 1000);
  console.log(
    `${name.padEnd(10)} ${Math.round(rate)} reads/s, ${((user + system) / reads).toFixed(2)} us of CPU each`,
  );
}

const dir = mkdtempSync(join(tmpdir(), 'xenner-bench-'));
const fd = openSync(join(dir, 'file'), 'w+');
try {
  const chunk = Buffer.alloc(1024 * 1024, 1);
  for (let at = 0; at < FILE_BLOCKS * BLOCK; at += chunk.length) writeSync(fd, chunk, 0, chunk.length, at);
  await bundleKvm(join(dir, 'kvm.mjs'));
  const { FileIo } = await import(pathToFileURL(join(dir, 'kvm.mjs')).href);
  const nodes = promisify(readv);
  for (const engine of /** @type {const} */ (['io_uring', 'threads'])) {
    const io = new FileIo({ engine });
    await measure(engine, (buffers, position) => io.readv(fd, buffers, position));
    await io.close();
  }
  await measure('node:fs', (buffers, position) => nodes(fd, buffers, position));
} finally {
  closeSync(fd);
  rmSync(dir, { recursive: true });
}
