/** `xenner img compare` says what `qemu-img compare` says, with its exit status. */
import { copyFileSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { KIB, MIB, patchwork } from '../disk-model.js';
import { holdOpen, missingQemu, qemuImg, qemuIo, scratch } from '../scratch.js';
import { imgIn, qemuImgIn } from './img.js';

const at = scratch();
const folder = dirname(at('x'));
const content = patchwork(5 * MIB + 512, 5);

/** The same text and status. */
function beside(...args: string[]): string {
  const ours = imgIn(folder, 'compare', ...args);
  const theirs = qemuImgIn(folder, 'compare', ...args);
  expect({ status: ours.status, stdout: ours.stdout }).toEqual({
    status: theirs.status,
    stdout: theirs.stdout,
  });
  return `${ours.status} ${ours.stdout}`;
}

describe.skipIf(missingQemu !== undefined)(
  `img compare${missingQemu ? ` (skipped: ${missingQemu})` : ''}`,
  () => {
    beforeAll(() => {
      writeFileSync(at('a.raw'), content);
      qemuImg('convert', '-f', 'raw', '-O', 'qcow2', at('a.raw'), at('a.qcow2'));
      qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', at('a.raw'), at('packed.qcow2'));
    });

    it('images of the same contents', () => {
      expect(beside('a.raw', 'a.qcow2')).toBe('0 Images are identical.\n');
      beside('-f', 'qcow2', '-F', 'qcow2', 'a.qcow2', 'packed.qcow2');
      beside('-q', 'a.raw', 'packed.qcow2');
    });

    it.each([0, 511, 512, MIB - 1, MIB, 3 * MIB + 70 * KIB, content.length - 1])(
      'a byte that differs: %i',
      (byte) => {
        const other = Buffer.from(content);
        other[byte] = (other[byte] ?? 0) ^ 0x10;
        writeFileSync(at('other.raw'), other);
        const outcome = beside('-f', 'raw', '-F', 'qcow2', 'other.raw', 'a.qcow2');
        expect(outcome).toBe(`1 Content mismatch at offset ${byte - (byte % 512)}!\n`);
      },
    );

    it('many that differ: the first is told', () => {
      const other = Buffer.from(content);
      for (let byte = 2 * MIB + 3; byte < other.length; byte += 4099) other[byte] = (other[byte] ?? 0) ^ 1;
      writeFileSync(at('other.raw'), other);
      beside('a.raw', 'other.raw');
    });

    it('one that is longer', () => {
      copyFileSync(at('a.raw'), at('longer.raw'));
      truncateSync(at('longer.raw'), 40 * MIB);
      expect(beside('a.qcow2', 'longer.raw')).toContain('Image size mismatch');
      expect(beside('-s', 'a.qcow2', 'longer.raw')).toBe('1 Strict mode: Image size mismatch!\n');
      qemuIo(at('longer.raw'), ['write -P 1 39M 512'], '-f', 'raw');
      expect(beside('longer.raw', 'a.qcow2')).toContain('Content mismatch at offset');
    });

    it('with --strict, what was left out and what was not', () => {
      for (const name of ['s1.qcow2', 's2.qcow2']) {
        qemuImg('create', '-q', '-f', 'qcow2', at(name), '1M');
        qemuIo(at(name), ['write -P 1 0 64k', 'write -P 1 192k 64k'], '-f', 'qcow2');
      }
      expect(beside('-s', 's1.qcow2', 's2.qcow2')).toBe('0 Images are identical.\n');
      qemuIo(at('s2.qcow2'), ['write -z 128k 64k'], '-f', 'qcow2');
      expect(beside('s1.qcow2', 's2.qcow2')).toBe('0 Images are identical.\n');
      expect(beside('-s', 's1.qcow2', 's2.qcow2')).toContain('block status mismatch');
    });

    it('what cannot be opened is 2', async () => {
      expect(beside('a.raw', 'nothing.raw')).toBe('2 ');
      expect(beside('-F', 'qcow2', 'a.raw', 'a.raw')).toBe('2 ');
      const held = await holdOpen(at('a.qcow2'), '-f', 'qcow2');
      try {
        beside('a.raw', 'a.qcow2');
        beside('-U', 'a.raw', 'a.qcow2');
      } finally {
        await held.end();
      }
    });

    it('progress', () => {
      const { stdout } = imgIn(folder, 'compare', '-p', 'a.raw', 'a.qcow2');
      expect(stdout).toMatch(
        /^ {4}\(0\.00\/100%\)\r( {4}\(\d+\.\d\d\/100%\)\r)* {4}\(100\.00\/100%\)\r\nImages are identical\.\n$/,
      );
    });
  },
);
