/** XFS as mkfs.xfs and the kernel make it, in the combinations of features that distributions have used. */
import { appendFileSync, mkdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openXfs } from '../../../src/mgmt/guestfs/xfs/xfs-file-system.js';
import { expectSame, makeTree, missing, noise, sparse } from './lib/host-tree.js';
import { closeDisks, copy, filesOf, mounted, run, scratch } from './lib/images.js';
import { mkfsXfs } from './lib/xfs-images.js';

const V4 = ['-m', 'crc=0,finobt=0,rmapbt=0,reflink=0'];
const V5 = ['-m', 'crc=1'];
const MAKERS: Record<string, string[]> = {
  'version 4 of CentOS 6': [...V4, '-n', 'ftype=0'],
  'version 4 of CentOS 7 before 7.3': [...V4, '-n', 'ftype=1'],
  'version 4 with small blocks and inodes': [...V4, '-b', 'size=512', '-i', 'size=256', '-n', 'size=4096'],
  'version 5 of CentOS 7': [...V5, '-m', 'finobt=0,rmapbt=0,reflink=0', '-i', 'sparse=0'],
  'version 5 of CentOS 8': [...V5, '-m', 'finobt=1,rmapbt=0,reflink=1', '-i', 'sparse=1'],
  'version 5 of Fedora 36': [...V5, '-m', 'rmapbt=1,reflink=1,bigtime=1,inobtcount=1'],
  'version 5 with 1 KiB': [...V5, '-b', 'size=1024', '-n', 'size=8192'],
  'version 5 with large directory blocks': [...V5, '-n', 'size=65536', '-i', 'size=2048'],
  'version 5 with wide counters': [...V5, '-i', 'nrext64=1'],
};

/** What an old mkfs.xfs does not know is no test of ours. */
const knows = (option: string) => !option.includes('nrext64') || /nrext64/.test(helpText());
const helpText = (): string => {
  try {
    return run('bash', ['-c', 'mkfs.xfs -? 2>&1 || true']);
  } catch {
    return '';
  }
};

const needs = missing('mkfs.xfs', 'xfs_db');
describe.skipIf(needs)(`xfs${needs ? ` (${needs})` : ''}`, () => {
  const folder = scratch('xfs');
  const tree = folder.path('tree');
  beforeAll(() => makeTree(tree, { directoryFiles: 1500, pieces: 100 }));
  afterEach(closeDisks);
  afterAll(folder.remove);

  describe.each(Object.entries(MAKERS))('%s', (_name, options) => {
    it.skipIf(!options.every(knows))('holds what went in', async () => {
      const uuid = '01234567-89ab-cdef-0123-456789abcdef';
      // mkfs.xfs 6.1 leaves out the header of long links, which version 5 has; the kernel's are below.
      rmSync(`${tree}/link-1012`, { force: true });
      if (!options.includes('crc=1')) symlinkSync(`${'./'.repeat(500)}boot/vmlinuz`, `${tree}/link-1012`);
      const image = mkfsXfs(folder.path('image'), [...options, '-L', 'name', '-m', `uuid=${uuid}`], tree);
      const files = await filesOf(image, openXfs);
      expect(files.fileSystem).toMatchObject({ type: 'xfs', label: 'name', uuid, notes: [] });
      await expectSame(files, tree);
    });
  });

  describe.each([
    ['version 4', V4],
    ['version 5', V5],
    ['version 5 with 1 KiB', [...V5, '-b', 'size=1024']],
  ])('%s, filled by the kernel', (_name, options) => {
    it('directories of all formats, trees of extents, holes', async (context) => {
      const image = mkfsXfs(folder.path('image'), options);
      const source = folder.path('source');
      rmSync(source, { recursive: true, force: true });
      mkdirSync(source);
      const filled = mounted(image, (target) => {
        for (const root of [source, target]) {
          for (const [name, count] of [
            ['inline', 3],
            ['block', 30],
            ['leaf', 200],
            ['node', 2500],
          ] as const) {
            mkdirSync(`${root}/${name}`);
            for (let i = 0; i < count; i++) writeFileSync(`${root}/${name}/a-rather-long-name-${i}`, '');
          }
          // Holes in a directory: blocks in the middle become empty.
          for (let i = 500; i < 1800; i++) unlinkSync(`${root}/node/a-rather-long-name-${i}`);
          sparse(`${root}/tree`, 1000, 8192, 4096);
          // Allocated but not written reads as zeros.
          run('fallocate', ['-l', '1000000', `${root}/allocated`]);
          appendFileSync(`${root}/allocated`, 'end');
          symlinkSync('x/'.repeat(500), `${root}/link`);
          symlinkSync('short', `${root}/short`);
          writeFileSync(`${root}/file`, noise(3, 100_000));
        }
        if (options === V5) run('cp', ['--reflink=always', `${target}/file`, `${target}/clone`]);
        if (options === V5) run('cp', [`${source}/file`, `${source}/clone`]);
        return true;
      });
      if (!filled) context.skip('this kernel or this user cannot mount such ones');
      expect(run('xfs_db', ['-r', '-c', 'path /tree', '-c', 'p core.format', image])).toMatch(/btree/);
      const files = await filesOf(image, openXfs);
      expect(files.fileSystem.notes).toEqual([]);
      await expectSame(files, source);
    });

    it('a log that is not empty is noted', async (context) => {
      const image = mkfsXfs(folder.path('image'), options);
      const dirty = folder.path('dirty');
      const copied = mounted(image, (target) => {
        for (let i = 0; i < 300; i++) writeFileSync(`${target}/f${i}`, 'contents');
        run('sync', ['-f', target]);
        return copy(image, dirty);
      });
      if (copied === undefined) context.skip('this kernel or this user cannot mount such ones');
      const { fileSystem } = await filesOf(dirty, openXfs);
      expect(fileSystem.notes).toEqual([expect.stringMatching(/its log was not replayed/)]);
      expect((await filesOf(image, openXfs)).fileSystem.notes).toEqual([]);
    });
  });

  it('notices sums that are wrong, and an inode that is another', async () => {
    const image = mkfsXfs(folder.path('sums'), V5, tree);
    const bad = copy(image, folder.path('bad'));
    const number = /\d+/.exec(run('xfs_db', ['-r', '-c', 'path /tiny', '-c', 'inode', image]))![0];
    const offset = Number(
      /offset (\d+)/.exec(run('xfs_db', ['-r', '-c', `inode ${number}`, '-c', 'stack', image]))![1],
    );
    run('bash', [
      '-c',
      'printf "\\377" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none',
      'sh',
      bad,
      `${offset + 40}`,
    ]);
    await expect((await filesOf(bad, openXfs)).stat('/tiny')).rejects.toThrow(/checksum of inode/);
    await expect((await filesOf(image, openXfs)).stat('/tiny')).resolves.toMatchObject({ kind: 'file' });
  });

  it('refuses by name what it does not know', async () => {
    const image = mkfsXfs(folder.path('odd'), V5);
    run('xfs_db', ['-x', '-c', 'sb 0', '-c', 'write -d features_incompat 0x103', image]);
    await expect(filesOf(image, openXfs)).rejects.toThrow(/metadata directory/);
  });
});
