/** Overlays: what is committed down or rebased, the disk stays the same; qemu-img is the judge of every image. */
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { commitImage, rebaseImage } from '../../../../src/mgmt/index.js';
import { KIB, MIB, patchwork } from '../disk-model.js';
import { holdOpen, missingQemu, qemuImg, qemuIo, scratch } from '../scratch.js';
import { imgIn } from './img.js';

const at = scratch();
const folder = dirname(at('x'));
const SIZES = [6 * MIB, 7 * MIB, 8 * MIB, 9 * MIB];

function overlay(name: string, below: string, format: string, bytes: number, ...options: string[]): void {
  qemuImg('create', '-q', '-f', 'qcow2', ...options, '-b', below, '-F', format, at(name), `${bytes}`);
}

/** What a guest would see. */
function disk(name: string): Buffer {
  qemuImg('convert', '-f', 'qcow2', '-O', 'raw', at(name), at('seen.raw'));
  return readFileSync(at('seen.raw'));
}

function check(name: string): void {
  expect(qemuImg('check', '-f', 'qcow2', at(name))).toContain('No errors were found');
}

/** 0.raw, and four above it, each with writes, zeros and discards of its own; the last is top.qcow2. */
function chain(...options: string[]): Buffer {
  writeFileSync(at('0.raw'), patchwork(5 * MIB, 3));
  overlay('1.qcow2', '0.raw', 'raw', SIZES[0]!);
  overlay('2.qcow2', '1.qcow2', 'qcow2', SIZES[1]!, ...options);
  overlay('3.qcow2', '2.qcow2', 'qcow2', SIZES[2]!);
  overlay('top.qcow2', '3.qcow2', 'qcow2', SIZES[3]!, ...options);
  ['1', '2', '3', 'top'].forEach((name, i) => {
    const bytes = SIZES[i]!;
    qemuIo(
      at(`${name}.qcow2`),
      [
        `write -P ${i + 1} ${i * 200}k 300k`,
        `write -z ${MIB + i * 130 * KIB} 200k`,
        `write -P ${i + 11} ${3 * MIB + i * 4096} 12k`,
        `write -P ${i + 21} ${bytes - 40 * KIB} 40k`,
      ],
      '-f',
      'qcow2',
    );
  });
  return disk('top.qcow2');
}

describe.skipIf(missingQemu !== undefined)(`chains${missingQemu ? ` (skipped: ${missingQemu})` : ''}`, () => {
  for (const options of [[], ['-o', 'extended_l2=on,cluster_size=32k'], ['-o', 'compat=0.10']]) {
    const named = options[1] ?? 'plain';

    it(`commit to the next image: ${named}`, async () => {
      const seen = chain(...options);
      await commitImage(at('top.qcow2'));
      expect(disk('top.qcow2').equals(seen)).toBe(true);
      expect(disk('3.qcow2').equals(seen)).toBe(true);
      expect(qemuImg('map', '--output=json', at('top.qcow2'))).not.toContain('"depth": 0, "present": true');
      for (const name of ['1', '2', '3', 'top']) check(`${name}.qcow2`);
    });

    it(`commit to one below: ${named}`, async () => {
      const seen = chain(...options);
      await commitImage(at('top.qcow2'), { base: at('1.qcow2') });
      expect(disk('1.qcow2').equals(seen)).toBe(true);
      expect(disk('top.qcow2').equals(seen)).toBe(true);
      check('1.qcow2');
    });

    it(`commit all the way down, one after the other: ${named}`, async () => {
      const seen = chain(...options);
      for (const name of ['top', '3', '2', '1']) await commitImage(at(`${name}.qcow2`));
      expect(readFileSync(at('0.raw')).equals(seen)).toBe(true);
      expect(disk('top.qcow2').equals(seen)).toBe(true);
    });

    it.each([
      ['flat', undefined],
      ['1.qcow2', 'qcow2'],
      ['2.qcow2', 'qcow2'],
      ['3.qcow2', 'qcow2'],
      ['other.qcow2', 'qcow2'],
      ['0.raw', 'raw'],
    ])(`rebase, ${named}: %s`, async (path, format) => {
      const seen = chain(...options);
      writeFileSync(at('other.raw'), patchwork(9 * MIB + 512 * KIB, 8));
      qemuImg('convert', '-f', 'raw', '-O', 'qcow2', at('other.raw'), at('other.qcow2'));
      await rebaseImage(at('top.qcow2'), { backing: format === undefined ? undefined : { path, format } });
      expect(disk('top.qcow2').equals(seen)).toBe(true);
      check('top.qcow2');
      const info = JSON.parse(qemuImg('info', '--output=json', at('top.qcow2')));
      expect(info['backing-filename']).toBe(format === undefined ? undefined : path);
      expect(info['backing-filename-format']).toBe(format);
    });
  }

  it('a rebase to an image of the chain takes only what lies between', async () => {
    chain();
    await rebaseImage(at('top.qcow2'), { backing: { path: '2.qcow2', format: 'qcow2' } });
    expect(statSync(at('top.qcow2')).blocks * 512).toBeLessThan(2 * MIB);
  });

  it('an unsafe rebase changes the name alone, whatever is there', async () => {
    const seen = chain();
    copyFileSync(at('3.qcow2'), at('moved.qcow2'));
    await rebaseImage(at('top.qcow2'), { unsafe: true, backing: { path: 'nowhere', format: 'qcow2' } });
    await rebaseImage(at('top.qcow2'), { unsafe: true, backing: { path: './moved.qcow2', format: 'qcow2' } });
    expect(disk('top.qcow2').equals(seen)).toBe(true);
    await rebaseImage(at('top.qcow2'), { unsafe: true, backing: undefined });
    expect(qemuImg('info', at('top.qcow2'))).not.toContain('backing');
  });

  it('an image that has bitmaps and a long header keeps them', async () => {
    chain();
    qemuImg('bitmap', '--add', at('top.qcow2'), 'kept');
    await rebaseImage(at('top.qcow2'), {
      unsafe: true,
      backing: { path: `./${'x/../'.repeat(190)}3.qcow2`, format: 'qcow2' },
    });
    expect(qemuImg('info', '-U', at('top.qcow2'))).toContain('name: kept');
    const tooLong = { path: 'x'.repeat(1024), format: 'qcow2' };
    await expect(rebaseImage(at('top.qcow2'), { unsafe: true, backing: tooLong })).rejects.toMatchObject({
      code: 'EIMAGE_OPTIONS',
    });
  });

  it('what ends in the middle leaves the disk as it was', async () => {
    const seen = chain();
    const abort = new AbortController();
    const options = { signal: abort.signal, progress: (done: number) => done > 0 && abort.abort() };
    const other = { path: '0.raw', format: 'raw' };
    await expect(rebaseImage(at('top.qcow2'), { ...options, backing: other })).rejects.toThrow('aborted');
    expect(disk('top.qcow2').equals(seen)).toBe(true);
    await expect(commitImage(at('top.qcow2'), options)).rejects.toThrow('aborted');
    expect(disk('top.qcow2').equals(seen)).toBe(true);
    for (const name of ['3', 'top']) check(`${name}.qcow2`);
  });

  it('images in use are refused, and nothing is written', async () => {
    const seen = chain();
    for (const name of ['top', '3']) {
      const held = await holdOpen(at(`${name}.qcow2`), '-f', 'qcow2');
      await expect(commitImage(at('top.qcow2'))).rejects.toMatchObject({ code: 'ELOCKED' });
      await held.end();
    }
    expect(disk('top.qcow2').equals(seen)).toBe(true);
    await expect(commitImage(at('top.qcow2'), { base: at('seen.raw') })).rejects.toMatchObject({
      code: 'EBACKING',
    });
    const itself = { path: 'top.qcow2', format: 'qcow2' };
    await expect(rebaseImage(at('top.qcow2'), { backing: itself })).rejects.toMatchObject({
      code: 'ELOCKED',
    });
  });
});

describe.skipIf(missingQemu !== undefined)('img commit and rebase', () => {
  beforeEach(() => void chain());

  it('say what qemu-img says', () => {
    const seen = disk('top.qcow2');
    expect(imgIn(folder, 'rebase', '-p', '-b', '2.qcow2', '-F', 'qcow2', 'top.qcow2').stdout).toMatch(
      /\(100\.00\/100%\)\r\n$/,
    );
    expect(imgIn(folder, 'rebase', '-b', '2.qcow2', 'top.qcow2').status).not.toBe(0);
    expect(imgIn(folder, 'commit', 'top.qcow2')).toEqual({
      status: 0,
      stdout: 'Image committed.\n',
      stderr: '',
    });
    expect(imgIn(folder, 'commit', '-q', '-d', '2.qcow2')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(imgIn(folder, 'rebase', '-b', '', '1.qcow2')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(disk('1.qcow2').equals(seen)).toBe(true);
    expect(imgIn(folder, 'commit', '1.qcow2')).toMatchObject({ status: 1, stdout: '' });
  });
});
