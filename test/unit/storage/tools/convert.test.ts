/** Conversion: what comes out has the contents of what went in, as qemu-img sees both, and is a good image. */
import { copyFileSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ConvertTarget, convertImage } from '../../../../src/mgmt/storage/tools/convert.js';
import { parseCreateChoices } from '../../../../src/mgmt/storage/tools/create-options.js';
import type { ToolFormat } from '../../../../src/mgmt/storage/tools/image-file.js';
import { KIB, MIB, patchwork } from '../disk-model.js';
import { missingQemu, qemuImg, qemuIo, scratch } from '../scratch.js';

const file = scratch();
/** A size that the geometry of a VHD has exactly. */
const BYTES = 9 * MIB + 64 * KIB;
const content = patchwork(BYTES, 77);
const raw = file('source.raw');
writeFileSync(raw, content);

const FORMATS: readonly ToolFormat[] = ['raw', 'qcow2', 'vpc'];

function toRaw(format: string, path: string): Buffer {
  const out = `${path}.back`;
  qemuImg('convert', '-f', format, path, '-O', 'raw', out);
  return readFileSync(out);
}

function check(path: string): void {
  expect(qemuImg('check', '-f', 'qcow2', path)).toContain('No errors were found');
}

async function convert(
  to: Partial<ConvertTarget> & { path: string },
  from = raw,
  options = {},
): Promise<void> {
  await convertImage({ path: from, ...options }, { format: 'qcow2', ...to }, options);
}

describe.skipIf(missingQemu)(`conversions${missingQemu ? ` (${missingQemu})` : ''}`, () => {
  for (const from of FORMATS)
    for (const to of FORMATS)
      it(`${from} to ${to}`, async () => {
        const [source, target] = [file(`a-${from}-${to}`), file(`b-${from}-${to}`)];
        qemuImg(
          'convert',
          '-f',
          'raw',
          '-O',
          from,
          ...(from === 'vpc' ? ['-o', 'force_size'] : []),
          raw,
          source,
        );
        await convertImage({ path: source, format: from }, { path: target, format: to });
        expect(toRaw(to, target).equals(content)).toBe(true);
        if (to === 'qcow2') check(target);
      });

  const options = [
    'cluster_size=512,refcount_bits=1',
    'cluster_size=2M,refcount_bits=64,lazy_refcounts=on',
    'compat=0.10,cluster_size=4k',
    'extended_l2=on,cluster_size=128k',
    'preallocation=metadata',
  ];
  for (const each of options)
    it(`to qcow2 with ${each}`, async () => {
      const path = file(`o-${each}`);
      await convert({ path, choices: parseCreateChoices([each]) });
      check(path);
      expect(toRaw('qcow2', path).equals(content)).toBe(true);
    });

  const packed = [
    '',
    'compression_type=zstd',
    'cluster_size=512,refcount_bits=1',
    'cluster_size=2M',
    'extended_l2=on',
    'refcount_bits=2,cluster_size=4k',
  ];
  for (const each of packed)
    it(`compressed, with ${each || 'nothing else'}`, async () => {
      const path = file(`c-${each}`);
      await convert({ path, choices: parseCreateChoices([each]) }, raw, { compressed: true });
      check(path);
      expect(toRaw('qcow2', path).equals(content)).toBe(true);
      const theirs = `${path}.theirs`;
      const wanted = each === '' ? [] : ['-o', each];
      qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', ...wanted, raw, theirs);
      expect(statSync(path).size).toBeLessThan(statSync(theirs).size * 1.02 + 512 * KIB);
    });

  it('compressed images are read back here, and written over', async () => {
    const [path, back] = [file('packed'), file('packed.raw')];
    await convert({ path }, raw, { compressed: true });
    qemuIo(path, ['write -P 7 100k 300k'], '-f', 'qcow2');
    await convert({ path: back, format: 'raw' }, path);
    const wanted = Buffer.from(content);
    wanted.fill(7, 100 * KIB, 400 * KIB);
    expect(readFileSync(back).equals(wanted)).toBe(true);
  });

  it('a size that ends within a cluster, and within a sector', async () => {
    const source = file('odd.raw');
    writeFileSync(source, content.subarray(0, 3 * MIB + 5000));
    for (const compressed of [false, true]) {
      const path = file(`odd-${compressed}.qcow2`);
      await convert({ path }, source, { compressed });
      check(path);
      expect(qemuImg('compare', '-f', 'raw', '-F', 'qcow2', source, path)).toContain('identical');
    }
  });

  it('holes stay holes, and -S decides what becomes one', async () => {
    const source = file('sparse.raw');
    writeFileSync(source, '');
    truncateSync(source, 32 * MIB);
    qemuIo(
      source,
      ['write -P 1 8k 4k', 'write -z 1M 64k', 'write -P 1 2M 64k', 'write -P 0 2056k 8k'],
      '-f',
      'raw',
    );
    const blocks: number[] = [];
    for (const sparseBytes of [4096, 64 * KIB, 0]) {
      const path = file(`sparse-${sparseBytes}.raw`);
      await convert({ path, format: 'raw' }, source, { sparseBytes });
      expect(readFileSync(path).equals(readFileSync(source))).toBe(true);
      blocks.push(statSync(path).blocks * 512);
    }
    expect(blocks[0]).toBeLessThanOrEqual(64 * KIB);
    expect(blocks[1]).toBeGreaterThan(blocks[0] ?? 0);
    expect(blocks[2]).toBeGreaterThanOrEqual(32 * MIB);
  });

  it('an internal snapshot', async () => {
    const [path, out] = [file('snap.qcow2'), file('snap.raw')];
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', raw, path);
    qemuImg('snapshot', '-c', 'before', path);
    qemuIo(path, ['write -P 9 0 1M'], '-f', 'qcow2');
    await convert({ path: out, format: 'raw' }, path, { snapshot: 'before' });
    expect(readFileSync(out).equals(content)).toBe(true);
  });
});

describe.skipIf(missingQemu)('conversion above a backing file', () => {
  const base = file('base.qcow2');
  const overlay = file('overlay.qcow2');

  it('leaves out what the source is above', async () => {
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', raw, base);
    qemuImg('create', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', overlay, '10M');
    qemuIo(overlay, ['write -P 3 300k 10k', 'write -z 1M 256k', 'write -P 4 9M 900k'], '-f', 'qcow2');
    for (const compressed of [false, true]) {
      const path = file(`above-${compressed}.qcow2`);
      await convert({ path, backing: { path: 'base.qcow2', format: 'qcow2' } }, overlay, { compressed });
      check(path);
      expect(qemuImg('compare', overlay, path)).toContain('identical');
      expect(qemuImg('info', path)).toContain('backing file: base.qcow2');
      expect(statSync(path).size).toBeLessThan(3 * MIB);
    }
  });

  it('without one has all of it', async () => {
    const path = file('flat.qcow2');
    await convert({ path }, overlay);
    expect(qemuImg('compare', overlay, path)).toContain('identical');
    expect(qemuImg('info', path)).not.toContain('backing');
  });
});

describe.skipIf(missingQemu)('what has the name', () => {
  const names = (path: string) =>
    readdirSync(dirname(path)).filter((name) => name.startsWith('.xenner-new-'));

  it('is there until the new image is complete, and afterwards when there is none', async () => {
    const path = file('kept.qcow2');
    writeFileSync(path, 'old');
    const abort = new AbortController();
    const progress = (done: number) => {
      expect(readFileSync(path, 'latin1')).toBe('old');
      if (done > 0) abort.abort();
    };
    const ended = convertImage({ path: raw }, { path, format: 'qcow2' }, { progress, signal: abort.signal });
    await expect(ended).rejects.toThrow('aborted');
    expect(readFileSync(path, 'latin1')).toBe('old');
    expect(names(path)).toEqual([]);
  });

  it('is not replaced while it is in use, nor by itself', async () => {
    const path = file('same.qcow2');
    copyFileSync(raw, path);
    const to = convertImage({ path, format: 'raw' }, { path, format: 'qcow2' });
    await expect(to).rejects.toMatchObject({ code: 'ELOCKED' });
    expect(readFileSync(path).equals(content)).toBe(true);
  });

  it('keeps its mode', async () => {
    const path = file('mode.qcow2');
    writeFileSync(path, '', { mode: 0o600 });
    await convert({ path });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('that exists is written in place, zeros as well, if it is large enough', async () => {
    const path = file('there.qcow2');
    qemuImg('create', '-f', 'qcow2', path, '10M');
    qemuIo(path, ['write -P 5 0 10M'], '-f', 'qcow2');
    await convert({ path, exists: true });
    check(path);
    const wanted = Buffer.concat([content, Buffer.alloc(10 * MIB - BYTES, 5)]);
    expect(toRaw('qcow2', path).equals(wanted)).toBe(true);
    qemuImg('create', '-f', 'qcow2', path, '1M');
    await expect(convert({ path, exists: true })).rejects.toMatchObject({ code: 'EIMAGE_OPTIONS' });
  });

  it('is not touched by options that nobody has', async () => {
    const path = file('wrong.qcow2');
    const wrong = convert({ path, choices: parseCreateChoices(['cluster_size=3k']) });
    await expect(wrong).rejects.toMatchObject({ code: 'EIMAGE_OPTIONS' });
    const unknown = convert({ path, choices: parseCreateChoices(['colour=blue']) });
    await expect(unknown).rejects.toMatchObject({ code: 'EIMAGE_OPTIONS' });
    const vpc = convert({ path, format: 'vpc' }, raw, { compressed: true });
    await expect(vpc).rejects.toMatchObject({ code: 'EIMAGE_OPTIONS' });
    expect(names(path)).toEqual([]);
  });
});
