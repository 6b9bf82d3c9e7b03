/**
 * A guest's disk is hostile: whatever is on it, the answer is a description, files, or one of our errors, soon and in little memory.
 * Longer runs: XENNER_FUZZ_CASES=10000 XENNER_FUZZ_SEED=7 npx vitest run test/fuzz/guest-disks.test.ts
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { XennerError } from '../../src/base/errors.js';
import type { BlockReader } from '../../src/mgmt/guestfs/byte-source.js';
import { describeDisk } from '../../src/mgmt/guestfs/describe-disk.js';
import { openGuestDisk } from '../../src/mgmt/guestfs/guest-disk.js';
import type { GuestFiles } from '../../src/mgmt/guestfs/guest-files.js';
import type { BootDisk } from '../../src/mgmt/guestfs/loader/boot-config.js';
import { parseGrubLegacy } from '../../src/mgmt/guestfs/loader/grub-legacy.js';
import { runGrub2 } from '../../src/mgmt/guestfs/loader/grub2.js';
import { parseSyslinux } from '../../src/mgmt/guestfs/loader/syslinux.js';
import { config, extOf, partitioned } from '../unit/guestfs/lib/boot-disks.js';
import { missing, noise } from '../unit/guestfs/lib/host-tree.js';
import { run, scratch } from '../unit/guestfs/lib/images.js';
import { mkfsXfs } from '../unit/guestfs/lib/xfs-images.js';
import { fuzzSettings, mutate, Random } from './random.js';

const { cases, seed } = fuzzSettings(60);
/** Far above what any input needs: a hang, not a slow machine. */
const MAX_CASE_MS = 60_000;
const MAX_GROWTH_BYTES = 512 * 2 ** 20;

const SECTOR = 512;

/** An image, of which some sectors are others. */
class MutatedDisk implements BlockReader {
  readonly sizeBytes: number;

  constructor(
    private readonly fd: number,
    private readonly changed: ReadonlyMap<number, Buffer>,
  ) {
    this.sizeBytes = fstatSync(fd).size;
  }

  async read(offset: number, [into]: readonly [Uint8Array]): Promise<void> {
    readSync(this.fd, into, 0, into.length, offset);
    for (const [at, sector] of this.changed)
      if (at >= offset && at + SECTOR <= offset + into.length) into.set(sector, at - offset);
  }
}

/** Where an image has something in it: what describes other things is there. */
function occupied(fd: number): number[] {
  const places: number[] = [];
  const chunk = Buffer.alloc(2 ** 20);
  const zeros = Buffer.alloc(2 ** 20);
  for (let base = 0; base < fstatSync(fd).size && places.length < 4096; base += chunk.length) {
    readSync(fd, chunk, 0, chunk.length, base);
    if (chunk.equals(zeros)) continue;
    for (let at = 0; at < chunk.length; at += SECTOR)
      if (chunk.subarray(at, at + SECTOR).some((byte) => byte !== 0)) places.push(base + at);
  }
  return places;
}

function damage(random: Random, fd: number, places: readonly number[]): Map<number, Buffer> {
  const changed = new Map<number, Buffer>();
  for (let changes = 1 + random.below(12); changes > 0; changes--) {
    const at = random.pick(places);
    const sector = Buffer.alloc(SECTOR);
    readSync(fd, sector, 0, SECTOR, at);
    mutate(random, sector, SECTOR).copy(sector);
    changed.set(at, sector);
  }
  return changed;
}

async function readAll(files: GuestFiles, path: string, left: { files: number }): Promise<void> {
  for (const name of (await files.readdir(path)).slice(0, 50)) {
    if (--left.files < 0) return;
    const inner = `${path}/${name}`;
    const { kind } = await files.stat(inner);
    if (kind === 'directory' && path.length < 200) await readAll(files, inner, left);
    else if (kind === 'file') await files.readFile(inner, 4 * 2 ** 20);
  }
}

async function explore(disk: BlockReader): Promise<void> {
  const guest = await openGuestDisk(disk);
  await describeDisk(guest);
  for (const { files } of guest.volumes) {
    if (files === undefined) continue;
    try {
      await readAll(files, '', { files: 200 });
    } catch (error) {
      if (!(error instanceof XennerError)) throw error;
    }
  }
}

/** Runs it, and insists on its answer being ours, soon. */
async function mustAnswer(what: string, act: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  const before = process.memoryUsage().rss;
  try {
    await act();
  } catch (error) {
    if (!(error instanceof XennerError)) throw new Error(`${what}: ${(error as Error).stack}`);
  }
  expect(performance.now() - start, what).toBeLessThan(MAX_CASE_MS);
  expect(process.memoryUsage().rss - before, what).toBeLessThan(MAX_GROWTH_BYTES);
}

const FILES = {
  '/boot/grub/grub.cfg': config('debian-12.cfg'),
  '/boot/vmlinuz-6.1': noise(1, 300_000),
  ...Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`/etc/file-${i}`, noise(i, i * 50)])),
};

const needs = missing('mke2fs', 'debugfs', 'mkfs.xfs', 'sfdisk', 'sgdisk');
describe.skipIf(needs)(`guest disks${needs ? ` (${needs})` : ''}`, () => {
  const folder = scratch('fuzz');
  afterAll(folder.remove);

  const MAKERS: Record<string, () => string> = {
    ext2: () => extOf(folder.path('ext2'), FILES, ['-O', 'none,filetype', '-b', '1024']),
    'ext4 without sums': () =>
      extOf(folder.path('ext4'), FILES, [
        '-O',
        'none,extent,filetype,dir_index,64bit,flex_bg,inline_data',
        '-b',
        '1024',
        '-I',
        '256',
      ]),
    'ext3 with a journal': () => {
      const image = extOf(folder.path('ext3'), FILES, ['-O', 'none,has_journal,filetype', '-b', '1024']);
      run('bash', [
        '-c',
        'printf "jo\\njw -b 30,31,32,40,50 %s\\njw -r 40\\njw -b 60,61 %s\\njc\\n" "$1" "$1" | debugfs -w -f - "$1"',
        'sh',
        image,
      ]);
      return image;
    },
    'xfs of version 4': () =>
      mkfsXfs(folder.path('xfs'), ['-m', 'crc=0,finobt=0,rmapbt=0,reflink=0'], `${folder.path('ext2')}.d`),
    mbr: () =>
      partitioned(
        folder.path('mbr'),
        16,
        { sfdisk: 'label: dos\n2048,2048,83\n8192,20480,5\n,4096,83\n,4096,83\n,4096,83\n' },
        [[10240, folder.path('ext2')]],
      ),
    gpt: () =>
      partitioned(folder.path('gpt'), 16, { sgdisk: ['-n1:2048:+9M', '-n2:0:+1M'] }, [
        [2048, folder.path('ext2')],
      ]),
  };

  it.each(Object.keys(MAKERS))('%s', async (name) => {
    const fd = openSync(MAKERS[name]!(), 'r');
    const places = occupied(fd);
    // Tables are what this is about, and first.
    const head = places.slice(0, name === 'mbr' || name === 'gpt' ? 8 : 700);
    const random = new Random(seed);
    for (let i = 0; i < cases; i++) {
      const changed = damage(random, fd, random.below(4) === 0 ? places : head);
      await mustAnswer(`${name}, case ${i}, seed ${seed}`, () => explore(new MutatedDisk(fd, changed)));
    }
    closeSync(fd);
  });
});

/** A disk where every file is the same text. */
const disk = (text: string): BootDisk => ({
  volume: 'hd0',
  findDevice: () => 'hd0',
  search: async () => 'hd0',
  readText: async () => text,
  kindOf: async () => 'file',
  sizeOf: async () => 10,
  list: async () => [],
});

describe('boot loader configurations', () => {
  const READERS = {
    'debian-12.cfg': runGrub2,
    'centos-7.cfg': runGrub2,
    'fedora.cfg': runGrub2,
    'centos-5.lst': parseGrubLegacy,
    'alpine.conf': parseSyslinux,
  };

  it.each(Object.entries(READERS))('%s', async (name, reader) => {
    const random = new Random(seed);
    const text = Buffer.from(config(name));
    for (let i = 0; i < cases * 5; i++) {
      let changed = mutate(random, text, text.length).toString('latin1');
      const cut = random.below(changed.length);
      if (random.below(3) === 0) changed = changed.slice(cut) + changed.slice(0, cut);
      await mustAnswer(`${name}, case ${i}, seed ${seed}`, () =>
        reader(changed, '/boot/grub/grub.cfg', disk(changed)),
      );
    }
  });

  const BOMBS: Record<string, string> = {
    'a loop': 'while true; do set a=b; done',
    'words that double': `set a=xxxxxxxx\n${'set a=$a$a\n'.repeat(60)}`,
    'lists that double': `set a="x x"\n${'set a="$a $a"\n'.repeat(12)}for i in $a; do for j in $a; do for k in $a; do true; done; done; done`,
    'a function that calls itself': 'function f { f; f; }\nf',
    'a configuration that includes itself': 'source /x',
    'statements in one another': `${'if true; then\n'.repeat(5000)}`,
    'submenus in one another': `${'submenu a {\n'.repeat(5000)}${'}\n'.repeat(5000)}`,
    'parentheses in one another': `if [ ${'( '.repeat(50_000)} ]; then true; fi`,
    'entries without end': 'while true; do menuentry a { linux /b }; done',
    'many entries with much to run': `set a="${'x '.repeat(2000)}"\n${'menuentry a {\nfor i in $a; do for j in $a; do true; done; done\n}\n'.repeat(400)}`,
    'variables without end': 'set i=x\nwhile true; do set i=$i.x; set $i=1; done',
    blanks: `set a=${' '.repeat(1_000_000)}b`,
    'quotes that stay open': `${'\'a" '.repeat(100_000)}`,
    'a line of a megabyte': `linux ${'/'.repeat(1_000_000)}`,
  };

  it.each(Object.entries(BOMBS))('GRUB 2: %s', async (name, text) => {
    await mustAnswer(name, () => runGrub2(text, '/boot/grub/grub.cfg', disk(text)));
  });

  it.each([
    ['grub', 'blanks', `title a\nkernel ${' \t'.repeat(500_000)}x`, parseGrubLegacy],
    ['grub', 'titles', 'title a\n'.repeat(150_000), parseGrubLegacy],
    ['extlinux', 'blanks', `label a\nappend ${' \t'.repeat(500_000)}x`, parseSyslinux],
    ['extlinux', 'includes', 'include /x\n'.repeat(1000), parseSyslinux],
    ['extlinux', 'labels', 'label a\n'.repeat(150_000), parseSyslinux],
  ])('%s: %s', async (_loader, name, text, reader) => {
    await mustAnswer(name, () => reader(text, '/boot/grub/menu.lst', disk(text)));
  });
});
