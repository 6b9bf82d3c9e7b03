// blk-*: the same requests to a disk, from our guest by blkfront and from QEMU's by virtio-blk: equal files, in the page cache.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guest, XENNER } from './lib/guest.mjs';
import { alternate, loadDrivers, PEER, runInGuest, runIo } from './lib/io-work.mjs';
import { printThroughput } from './lib/report.mjs';

const DISK_MIB = 1024;
const FORMATS = ['raw', 'qcow2'];
const WORKS = [
  { name: 'randread-4k-1', args: 'read random 4096 1' },
  { name: 'randread-4k-32', args: 'read random 4096 32' },
  { name: 'randwrite-4k-1', args: 'write random 4096 1' },
  { name: 'randwrite-4k-32', args: 'write random 4096 32' },
  { name: 'read-1m', args: 'read sequential 1048576 4' },
  { name: 'write-1m', args: 'write sequential 1048576 4' },
];

/**
 * @param {string} directory
 * @param {string} format
 * @param {string} owner
 */
function makeDisk(directory, format, owner) {
  const path = join(directory, `${owner}.${format}`);
  // All of it allocated, and not zeros, which a format could know without reading.
  const content = join(directory, 'content');
  execFileSync('sh', ['-c', `yes xenner | head -c ${DISK_MIB}M >${content}`]);
  execFileSync('qemu-img', ['convert', '-q', '-f', 'raw', '-O', format, content, path]);
  rmSync(content);
  return { path, format };
}

/** @param {Guest} guest */
async function prepare(guest) {
  await loadDrivers(guest);
  await runInGuest(
    guest,
    'until [ -b /dev/xvda -o -b /dev/vda ]; do sleep 0.1; done; ln -s /dev/*vda /dev/disk',
  );
}

/**
 * @param {import('./lib/guest.mjs').Image} image with io-work and drivers in it
 * @param {number} pairs
 * @param {(name: string) => boolean} wanted
 */
export async function benchBlock(image, pairs, wanted) {
  for (const format of FORMATS) {
    const works = WORKS.filter(({ name }) => wanted(`blk-${format}-${name}`));
    if (works.length === 0) continue;
    const directory = mkdtempSync(join(tmpdir(), 'xenner-bench-'));
    const guests = [XENNER, PEER].map(
      (machine) => new Guest(machine.command({ ...image, disk: makeDisk(directory, format, machine.name) })),
    );
    try {
      for (const guest of guests) await prepare(guest);
      for (const { name, args } of works) {
        const [ours, theirs] = await alternate(guests, pairs, (guest) =>
          runIo(guest, `disk /dev/disk ${args}`),
        );
        printThroughput(`blk-${format}-${name}`, ours, { name: PEER.name, values: theirs }, '1.0');
      }
    } finally {
      for (const guest of guests) await guest.kill();
      rmSync(directory, { recursive: true });
    }
  }
}
