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
 * @typedef {import('./lib/guest.mjs').Disk} Disk
 * @typedef {{ name: string, start: (disk: Disk) => Guest }} DiskUser
 * @typedef {{ prefix: string, diskMiB: number, pairs: number, workMs?: number }} How `prefix`: of the figures' names
 */

/**
 * @param {string} directory
 * @param {string} format
 * @param {string} owner
 * @param {number} sizeMiB
 */
function makeDisk(directory, format, owner, sizeMiB) {
  const path = join(directory, `${owner}.${format}`);
  // All of it allocated, and not zeros, which a format could know without reading.
  const content = join(directory, 'content');
  execFileSync('sh', ['-c', `yes xenner | head -c ${sizeMiB}M >${content}`]);
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
 * @param {[DiskUser, DiskUser]} users ours and the peer, each with io-work and drivers in its ramdisk
 * @param {How} how
 * @param {(name: string) => boolean} wanted
 */
export async function compareDisks(users, { prefix, diskMiB, pairs, workMs }, wanted) {
  for (const format of FORMATS) {
    const works = WORKS.filter(({ name }) => wanted(`${prefix}-${format}-${name}`));
    if (works.length === 0) continue;
    const directory = mkdtempSync(join(tmpdir(), 'xenner-bench-'));
    const guests = users.map(({ name, start }) => start(makeDisk(directory, format, name, diskMiB)));
    try {
      for (const guest of guests) await prepare(guest);
      for (const { name, args } of works) {
        const [ours, theirs] = await alternate(guests, pairs, (guest) =>
          runIo(guest, `disk /dev/disk ${args}`, workMs),
        );
        printThroughput(`${prefix}-${format}-${name}`, ours, { name: users[1].name, values: theirs }, '1.0');
      }
    } finally {
      for (const guest of guests) await guest.kill();
      rmSync(directory, { recursive: true });
    }
  }
}

/**
 * @param {import('./lib/guest.mjs').Image} image with io-work and drivers in it
 * @param {number} pairs
 * @param {(name: string) => boolean} wanted
 */
export async function benchBlock(image, pairs, wanted) {
  /** @param {import('./lib/guest.mjs').Machine} machine @returns {DiskUser} */
  const user = ({ name, command }) => ({
    name,
    start: (disk) => new Guest(command({ ...image, disk })),
  });
  await compareDisks([user(XENNER), user(PEER)], { prefix: 'blk', diskMiB: DISK_MIB, pairs }, wanted);
}
