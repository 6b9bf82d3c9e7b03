/** Journals that were not empty: as the kernel leaves them, and as debugfs writes them. What e2fsck makes of them is right. */
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { expectSame, missing, noise } from './lib/host-tree.js';
import { closeDisks, copy, filesOf, mke2fs, mounted, run, scratch } from './lib/images.js';

const EXT3 = 'none,has_journal,ext_attr,resize_inode,dir_index,filetype,sparse_super,large_file';
const EXT4 = `${EXT3},extent,huge_file,flex_bg,dir_nlink,extra_isize,64bit`;

const KINDS: Record<string, string[]> = {
  'ext3 with 1 KiB': ['-O', EXT3, '-b', '1024', '-I', '128'],
  'ext3 with 4 KiB': ['-O', EXT3, '-b', '4096'],
  'ext4 with sums': ['-O', `${EXT4},metadata_csum`, '-b', '4096'],
  'ext4 without sums': ['-O', `${EXT4},uninit_bg`, '-b', '4096'],
};

const needs = missing('mke2fs', 'debugfs', 'e2fsck');
describe.skipIf(needs)(`journals${needs ? ` (${needs})` : ''}`, () => {
  const folder = scratch('journal');
  afterEach(closeDisks);
  afterAll(folder.remove);

  for (const [name, options] of Object.entries(KINDS)) {
    it(`of a machine that was switched off: ${name}`, async (context) => {
      const image = mke2fs(folder.path('image'), 64, [...options, '-J', 'size=16']);
      const tree = folder.path('tree');
      const dirty = folder.path('dirty');
      const done = mounted(image, (target) => {
        mkdirSync(`${target}/old`);
        for (let i = 0; i < 200; i++) writeFileSync(`${target}/old/${i}`, noise(i, 3000));
        run('sync', ['-f', target]);
        // Blocks of the directory become those of files: the journal revokes them.
        rmSync(`${target}/old`, { recursive: true });
        mkdirSync(`${target}/new/deep`, { recursive: true });
        for (let i = 0; i < 300; i++) writeFileSync(`${target}/new/deep/${i}`, noise(1000 + i, 3000));
        run('sync', ['-f', target]);
        rmSync(`${target}/new/deep/7`);
        writeFileSync(`${target}/new/last`, 'last');
        // fsync: what it needs is in the journal, and not yet in its place.
        run('sync', [`${target}/new/last`]);
        rmSync(tree, { recursive: true, force: true });
        cpSync(target, tree, { recursive: true });
        return copy(image, dirty);
      });
      if (done === undefined) return context.skip('this kernel or this user cannot mount such ones');
      const files = await filesOf(dirty);
      expect(files.fileSystem.notes).toEqual([
        expect.stringMatching(/^its journal was not empty: [1-9]\d* transactions/),
      ]);
      await expectSame(files, tree);
      // Without the replay it is not there.
      run('debugfs', ['-w', '-R', 'feature ^needs_recovery', dirty]);
      expect(await (await filesOf(copy(dirty, folder.path('unreplayed')))).exists('/new/last')).toBe(false);
    });
  }

  it.each([
    ['no sums', ['-O', EXT3], []],
    ['sums of version 2', ['-O', `${EXT4},metadata_csum`], ['-v', '2']],
    ['sums of version 3', ['-O', `${EXT4},metadata_csum`], ['-v', '3']],
    ['numbers of 32 bits and sums', ['-O', `${EXT3},extent,metadata_csum`], ['-v', '3']],
  ])('written by debugfs, with %s', async (_name, options, sums) => {
    const source = folder.path('source');
    mkdirSync(source, { recursive: true });
    writeFileSync(`${source}/file`, noise(1, 4 * 4096));
    const image = mke2fs(folder.path('image'), 64, [...options, '-b', '4096'], source);
    const blocks = run('debugfs', ['-R', 'blocks /file', image]).trim().split(/\s+/).map(Number);
    // What begins with the journal's own magic number has to be escaped there.
    const magic = noise(2, 4096);
    magic.writeUInt32BE(0xc03b3998);
    writeFileSync(folder.path('magic'), magic);
    writeFileSync(folder.path('plain'), noise(3, 8192));
    writeFileSync(folder.path('newer'), noise(4, 4096));
    const write = (...commands: string[]) => {
      writeFileSync(
        folder.path('commands'),
        [`jo ${sums.length > 0 ? '-c' : ''} ${sums.join(' ')}`, ...commands, 'jc\n'].join('\n'),
      );
      run('debugfs', ['-w', '-f', folder.path('commands'), image]);
    };
    write(
      `jw -b ${blocks[0]} ${folder.path('magic')}`,
      `jw -b ${blocks[1]},${blocks[2]} ${folder.path('plain')}`,
      `jw -b ${blocks[1]} ${folder.path('newer')}`,
      `jw -r ${blocks[2]}`,
      `jw -b ${blocks[3]} -c ${folder.path('plain')}`,
    );
    const recovered = copy(image, folder.path('recovered'));
    run('bash', ['-c', 'e2fsck -fy "$1" > /dev/null 2>&1 || [ $? -le 1 ]', 'sh', recovered]);
    const expected = await (await filesOf(recovered)).readFile('/file');
    const files = await filesOf(image);
    expect((await files.readFile('/file')).equals(expected)).toBe(true);
    // And not by chance: something was replayed, something was not.
    expect(expected.subarray(0, 4096).equals(magic)).toBe(true);
    expect(expected.subarray(4096, 8192).equals(noise(4, 4096))).toBe(true);
    expect(expected.subarray(8192, 12288).equals(noise(1, 4 * 4096).subarray(8192, 12288))).toBe(true);
    expect(expected.subarray(12288).equals(noise(1, 4 * 4096).subarray(12288))).toBe(true);
  });
});
