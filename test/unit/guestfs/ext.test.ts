/**
 * ext2, ext3 and ext4 as real mke2fs makes them, in the combinations of features that distributions have used: the files are those
 * that went in.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GuestFiles } from '../../../src/mgmt/guestfs/guest-files.js';
import { expectSame, makeTree, missing, noise } from './lib/host-tree.js';
import { closeDisks, copy, filesOf, mke2fs, run, scratch } from './lib/images.js';

const EXT3 = 'has_journal,ext_attr,resize_inode,dir_index,filetype,sparse_super,large_file';
const EXT4 = `${EXT3},extent,huge_file,flex_bg,uninit_bg,dir_nlink,extra_isize`;
const EXT4_SUMS = `${EXT4},64bit,metadata_csum`;

/** What mke2fs was told, or did by itself, when each of them was installed. */
const MAKERS: Record<string, string[]> = {
  'ext2 of revision 0': ['-r', '0', '-O', 'none', '-b', '1024'],
  'ext2 without filetype': ['-O', 'none,sparse_super', '-b', '1024', '-I', '128'],
  'ext2 with 4 KiB': ['-O', 'none,ext_attr,resize_inode,dir_index,filetype,sparse_super', '-b', '4096'],
  'ext3 of Debian 4, CentOS 4 and 5': ['-O', `none,${EXT3}`, '-I', '128', '-b', '4096'],
  'ext3 of /boot with 1 KiB': ['-O', `none,${EXT3}`, '-I', '128', '-b', '1024'],
  'ext3 of Ubuntu 8.04': ['-O', `none,${EXT3}`, '-I', '256', '-b', '4096'],
  'ext4 of CentOS 6, Ubuntu 10.04, Debian 6': ['-O', `none,${EXT4}`, '-b', '4096'],
  'ext4 of CentOS 7': ['-O', `none,${EXT4},64bit`, '-b', '4096'],
  'ext4 of /boot with 1 KiB': ['-O', `none,${EXT4_SUMS}`, '-b', '1024'],
  'ext4 of Debian 9 to 12, Ubuntu 18.04': ['-O', `none,${EXT4_SUMS}`, '-b', '4096'],
  'ext4 of Debian 13': ['-O', `none,${EXT4_SUMS},orphan_file,metadata_csum_seed`, '-b', '4096'],
  'ext4 of Fedora': ['-O', `none,${EXT4_SUMS},metadata_csum_seed,fast_commit`, '-b', '4096'],
  'ext4 without journal (cloud images)': ['-O', `none,${EXT4_SUMS},^has_journal`, '-b', '4096'],
  'ext4 with meta_bg': ['-O', `none,${EXT4_SUMS},meta_bg,^resize_inode`, '-b', '1024', '-g', '1024'],
  'ext4 with meta_bg and no sums': [
    '-O',
    `none,${EXT4},meta_bg,^resize_inode,^flex_bg`,
    '-b',
    '1024',
    '-g',
    '1024',
  ],
  'ext4 with inline_data': ['-O', `none,${EXT4_SUMS},inline_data`, '-b', '4096', '-I', '512'],
  'ext4 with inline_data in small inodes': ['-O', `none,${EXT4},inline_data`, '-b', '1024', '-I', '256'],
  'ext4 with bigalloc': ['-O', `none,${EXT4_SUMS},bigalloc`, '-b', '4096', '-C', '65536'],
  'ext4 with bigalloc and 1 KiB': ['-O', `none,${EXT4_SUMS},bigalloc`, '-b', '1024', '-C', '16384'],
  'ext4 with 64 KiB': ['-O', `none,${EXT4_SUMS}`, '-b', '65536'],
  'ext4 with large inodes': [
    '-O',
    `none,${EXT4_SUMS},ea_inode,large_dir,quota,project`,
    '-b',
    '4096',
    '-I',
    '1024',
  ],
  'ext4 with casefold, encrypt, verity': [
    '-O',
    `none,${EXT4_SUMS},casefold,encrypt,verity,mmp`,
    '-b',
    '4096',
  ],
  'ext4 with sparse_super2': ['-O', `none,${EXT4_SUMS},sparse_super2,^resize_inode`, '-b', '4096'],
};

const needs = missing('mke2fs', 'debugfs', 'tune2fs');
describe.skipIf(needs)(`ext${needs ? ` (${needs})` : ''}`, () => {
  const folder = scratch('ext');
  const tree = folder.path('tree');
  // mke2fs 1.47.0 cuts files with holes short when it may make them inline.
  const treeWithoutHoles = folder.path('tree-without-holes');
  beforeAll(() => {
    makeTree(tree, { directoryFiles: 1500, pieces: 700 });
    makeTree(treeWithoutHoles, { directoryFiles: 1500, pieces: 0 });
  });
  afterAll(async () => {
    await closeDisks();
    folder.remove();
  });

  it.each(Object.entries(MAKERS))('%s', async (name, options) => {
    const source = name.includes('inline_data') ? treeWithoutHoles : tree;
    const uuid = '01234567-89ab-cdef-0123-456789abcdef';
    const image = mke2fs(folder.path('image'), 256, [...options, '-L', 'name', '-U', uuid], source);
    const files = await filesOf(image);
    expect(files.fileSystem).toMatchObject({ type: name.slice(0, 4), label: 'name', uuid, notes: [] });
    await expectSame(files, source, '/', ['lost+found']);
  });

  describe.each([
    ['extents', ['-O', `none,${EXT4_SUMS}`]],
    ['indirect blocks', ['-O', `none,${EXT3}`]],
  ])('%s', (_name, options) => {
    it('a fragmented file, and one with more holes than fit into a block', async () => {
      const source = folder.path('source');
      mkdirSync(source, { recursive: true });
      for (let i = 0; i < 1200; i++) writeFileSync(`${source}/f${i}`, noise(i, 8192));
      const image = mke2fs(folder.path('fragments'), 16, [...options, '-b', '1024', '-N', '2000'], source);
      const big = folder.path('big');
      writeFileSync(big, noise(99, 4_000_000));
      const removals = Array.from({ length: 600 }, (_, i) => `rm /f${i * 2}\n`).join('');
      writeFileSync(folder.path('commands'), `${removals}write ${big} big\n`);
      run('debugfs', ['-w', '-f', folder.path('commands'), image]);
      const files = await filesOf(image);
      expect((await files.readFile('/big')).equals(noise(99, 4_000_000))).toBe(true);
      expect(run('debugfs', ['-R', 'stat /big', image])).toMatch(
        options[1]!.includes('extent') ? /ETB1/ : /DIND/,
      );
    });
  });

  it('a directory with a hash tree of two levels', async () => {
    const source = folder.path('wide');
    mkdirSync(source, { recursive: true });
    for (let i = 0; i < 900; i++) writeFileSync(`${source}/${'long-name-'.repeat(20)}${i}`, '');
    const image = mke2fs(
      folder.path('wide.img'),
      32,
      ['-O', `none,${EXT4_SUMS}`, '-b', '1024', '-N', '8000'],
      source,
    );
    run('bash', ['-c', 'e2fsck -fyD "$1" > /dev/null || [ $? -le 1 ]', 'sh', image]);
    expect(run('debugfs', ['-R', 'htree_dump /', image])).toMatch(/Indirect levels: [1-9]/);
    await expectSame(await filesOf(image), source, '/', ['lost+found']);
  });

  it('symbolic links stay in the guest', async () => {
    const source = folder.path('links');
    mkdirSync(`${source}/a/b`, { recursive: true });
    writeFileSync(`${source}/passwd`, 'of the guest');
    run('bash', [
      '-c',
      'cd "$1" && ln -s /passwd a/b/root && ln -s ../../../../../passwd a/b/up && ln -s loop loop && ln -s a/b/up/x into && ln -s nowhere dangling',
      'sh',
      source,
    ]);
    const files = await filesOf(mke2fs(folder.path('links.img'), 4, [], source));
    for (const path of ['/a/b/root', '/a/b/up', 'a//b/./../b/up', '/../../passwd', '/a/b/../../passwd'])
      expect((await files.readFile(path)).toString(), path).toBe('of the guest');
    await expect(files.stat('/loop')).rejects.toMatchObject({ code: 'EGUEST_FILE_KIND' });
    await expect(files.stat('/into')).rejects.toMatchObject({ code: 'EGUEST_FILE_KIND' });
    await expect(files.stat('/dangling')).rejects.toMatchObject({ code: 'EGUEST_NO_FILE' });
    await expect(files.readFile('/a')).rejects.toMatchObject({ code: 'EGUEST_FILE_KIND' });
    await expect(files.readdir('/passwd')).rejects.toMatchObject({ code: 'EGUEST_FILE_KIND' });
    await expect(files.readFile('/passwd', 3)).rejects.toMatchObject({ code: 'EGUEST_LIMIT' });
    await expect(files.stat(`/${'x/'.repeat(3000)}`)).rejects.toMatchObject({ code: 'EGUEST_FILE_KIND' });
    expect([await files.exists('/a/b'), await files.exists('/c'), await files.exists('/passwd/c')]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('refuses by name what it does not know', async () => {
    const image = mke2fs(folder.path('odd'), 4, ['-O', 'none']);
    run('debugfs', ['-w', '-R', 'ssv feature_incompat 0x1002', image]);
    await expect(filesOf(image)).rejects.toThrow(/dirdata/);
    const other = mke2fs(folder.path('odder'), 4, ['-O', 'none']);
    run('debugfs', ['-w', '-R', 'ssv feature_incompat 0x800002', other]);
    await expect(filesOf(other)).rejects.toThrow(/bit 23/);
  });

  it('notices sums that are wrong', async () => {
    const image = mke2fs(folder.path('sums'), 96, ['-O', `none,${EXT4_SUMS}`, '-b', '1024'], tree);
    const blocks = (what: string): number[] =>
      run('debugfs', ['-R', `blocks ${what}`, image])
        .trim()
        .split(/\s+/)
        .map(Number);
    const inodeAt = /located at block (\d+), offset 0x(\w+)/.exec(
      run('debugfs', ['-R', 'imap /tiny', image]),
    )!;
    const extents = /ETB0\):(\d+)/.exec(run('debugfs', ['-R', 'stat /holes', image]))!;
    const places: Array<[string, number, (files: GuestFiles) => Promise<unknown>]> = [
      ['the superblock', 1024 + 0x78, async () => {}],
      [
        'an inode',
        Number(inodeAt[1]) * 1024 + Number.parseInt(inodeAt[2]!, 16) + 8,
        (files) => files.stat('/tiny'),
      ],
      ['a directory', blocks('/boot')[0]! * 1024 + 900, (files) => files.readdir('/boot')],
      ['extents', Number(extents[1]) * 1024 + 13, (files) => files.readFile('/holes')],
    ];
    for (const [name, at, look] of places) {
      const bad = copy(image, folder.path('bad'));
      run('bash', [
        '-c',
        'printf "\\377" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none',
        'sh',
        bad,
        `${at}`,
      ]);
      await expect((async () => look(await filesOf(bad)))(), name).rejects.toThrow(/checksum/);
    }
  });
});
