/** Exports of XenServer, packed by GNU tar, into raw and qcow2 images. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import xxhash from 'xxhash-wasm';
import { openImage } from '../../../src/mgmt/storage/open-image.js';
import { createQcow2 } from '../../../src/mgmt/storage/qcow2/create.js';
import { importXva, readXva } from '../../../src/mgmt/storage/xva/import.js';
import { fuzzSettings, mutate, Random } from '../../fuzz/random.js';
import { KIB, MIB, patchwork } from './disk-model.js';
import { missingQemu, qemuImg, scratch } from './scratch.js';

const file = scratch();
/** XXH64 of nothing, as its specification gives it. */
const XXH64_OF_NOTHING = 'EF46DB3751D8E999';
const sha1 = (bytes: Uint8Array) => createHash('sha1').update(bytes).digest('hex');
let xxh64: (bytes: Uint8Array) => string;
beforeAll(async () => {
  const { h64Raw } = await xxhash();
  xxh64 = (bytes) => h64Raw(bytes).toString(16).toUpperCase().padStart(16, '0');
});

/** A disk with data, a hole of two pieces, data again, and a last piece that is a part of one. */
function disk(): Buffer {
  const content = patchwork(5 * MIB + 64 * KIB, 11);
  content.fill(0, MIB, 3 * MIB);
  content[3 * MIB] = 1;
  return content;
}

type Entry = readonly [name: string, content: Uint8Array];
const number = (n: number) => String(n).padStart(8, '0');

/** As xapi sends it, from what number on and what for a checksum. */
function pieces(member: string, content: Buffer, kind: 'checksum' | 'xxhash', keepAlive = false): Entry[] {
  const entries: Entry[] = [];
  const add = (name: string, piece: Uint8Array, sum: string) =>
    entries.push([name, piece], [`${name}.${kind}`, Buffer.from(sum)]);
  const last = Math.floor((content.length - 1) / MIB);
  let late = 0;
  for (let i = 0; i <= last; i++) {
    const piece = content.subarray(i * MIB, (i + 1) * MIB);
    if (keepAlive && i === 2) add(`${member}/${number(i + late++)}`, new Uint8Array(0), XXH64_OF_NOTHING);
    if (i !== 0 && i !== last && piece.every((byte) => byte === 0)) continue;
    add(`${member}/${number(i + late)}`, piece, kind === 'xxhash' ? xxh64(piece) : sha1(piece));
  }
  return entries;
}

let archives = 0;
function archive(entries: readonly Entry[]): string {
  const folder = file(`tree${archives++}`);
  for (const [name, content] of [['ova.xml', Buffer.from('<value/>')] as const, ...entries]) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  const names = ['ova.xml', ...entries.map(([name]) => name)];
  execFileSync('tar', ['--format=ustar', '--force-local', '-C', folder, '-cf', `${folder}.xva`, ...names]);
  return `${folder}.xva`;
}

async function rawImage(name: string, bytes: number) {
  // What was there before must not shine through.
  writeFileSync(file(name), Buffer.alloc(bytes, 0xee));
  return openImage(file(name), { format: 'raw' });
}

describe('into a raw image', () => {
  it.each([
    ['SHA-1', 'checksum', false],
    ['XXH64', 'xxhash', false],
    ['XXH64, with pieces that keep a connection alive', 'xxhash', true],
  ] as const)('%s', async (name, kind, keepAlive) => {
    const content = disk();
    const path = archive([
      ...pieces('Ref:9', Buffer.alloc(MIB), 'checksum'),
      ...pieces('Ref:4', content, kind, keepAlive),
    ]);
    const image = await rawImage(`${name}.raw`, content.length);
    const seen: number[] = [];
    await importXva(readXva(path), [{ member: 'Ref:4', image }], (_, done) => seen.push(done));
    await image.close();
    expect(readFileSync(file(`${name}.raw`)).equals(content)).toBe(true);
    expect(seen.at(-1)).toBe(content.length);
  });

  it('byte by byte, and compressed', async () => {
    const content = disk();
    const bytes = readFileSync(archive(pieces('Ref:4', content, 'checksum')));
    writeFileSync(file('gz.xva'), gzipSync(bytes, { level: 1 }));
    const tiny = (async function* () {
      for (let at = 0; at < bytes.length; at += 4093) yield bytes.subarray(at, at + 4093);
    })();
    for (const source of [tiny, readXva(file('gz.xva'))]) {
      const image = await rawImage('again.raw', content.length);
      await importXva(source, [{ member: 'Ref:4', image }]);
      await image.close();
      expect(readFileSync(file('again.raw')).equals(content)).toBe(true);
    }
  });
});

describe.skipIf(missingQemu)(`into a qcow2 image (skipped: ${missingQemu})`, () => {
  it('holes stay holes, and qemu-img reads the same', async () => {
    const content = disk();
    await createQcow2(file('a.qcow2'), { sizeBytes: content.length });
    const image = await openImage(file('a.qcow2'));
    await importXva(readXva(archive(pieces('Ref:4', content, 'xxhash'))), [{ member: 'Ref:4', image }]);
    await image.close();
    qemuImg('convert', '-O', 'raw', file('a.qcow2'), file('a.raw'));
    expect(readFileSync(file('a.raw')).equals(content)).toBe(true);
    expect(readFileSync(file('a.qcow2')).length).toBeLessThan(4.5 * MIB);
  });
});

describe('what is wrong with an archive is told, and nothing of a bad piece is written', () => {
  const small = () => Buffer.from(patchwork(MIB + 4 * KIB, 5));
  const run = async (entries: readonly Entry[], cut?: number) => {
    const path = archive(entries);
    if (cut !== undefined) writeFileSync(path, readFileSync(path).subarray(0, cut));
    const image = await rawImage('bad.raw', MIB + 4 * KIB);
    try {
      await importXva(readXva(path), [{ member: 'Ref:4', image }]);
    } finally {
      await image.close();
    }
  };
  const good = () => pieces('Ref:4', small(), 'checksum');

  it.each([
    [
      'a checksum that is another',
      () =>
        good().map(([name, content], i) =>
          i === 1 ? ([name, Buffer.from('0'.repeat(40))] as const) : ([name, content] as const),
        ),
      'is not as its checksum says',
    ],
    ['no checksum', () => good().filter((_, i) => i !== 1), 'has no checksum'],
    ['no last piece', () => good().slice(0, 2), 'ends after 1048576 bytes'],
    ['no piece at all', () => [], 'ends after 0 bytes'],
    [
      'a piece in the middle that is short',
      () =>
        [
          ['Ref:4/00000000', Buffer.alloc(512)],
          ['Ref:4/00000000.checksum', Buffer.from('x')],
        ] as Entry[],
      'has 512 bytes',
    ],
    ['a piece that is too long', () => [['Ref:4/00000000', Buffer.alloc(MIB + 512)]] as Entry[], 'bytes'],
    [
      'a piece behind the end',
      () => [...good().slice(0, 2), ['Ref:4/00000007', Buffer.alloc(MIB)]] as Entry[],
      'is not of this disk',
    ],
    ['a number that is less than the last', () => [...good().slice(2), ...good().slice(0, 2)], 'later'],
  ])('%s', async (_, entries, why) => {
    await expect(run(entries())).rejects.toThrow(why);
  });

  it('an archive that is cut off', async () => {
    for (const cut of [0, 100, 512, 1024, MIB, MIB + 5 * 512])
      await expect(run(good(), cut)).rejects.toThrow();
  });

  it('the image has what it had', async () => {
    await expect(
      run([
        ['Ref:4/00000000', small().subarray(0, MIB)],
        ['Ref:4/00000000.checksum', Buffer.from('no')],
      ]),
    ).rejects.toThrow('checksum');
    expect(readFileSync(file('bad.raw')).every((byte) => byte === 0xee)).toBe(true);
  });

  it('damaged archives: an error, or what was sent', async () => {
    const content = small();
    const bytes = readFileSync(archive(pieces('Ref:4', content, 'checksum')));
    const { cases, seed } = fuzzSettings(60);
    const random = new Random(seed);
    for (let i = 0; i < cases; i++) {
      const damaged = mutate(random, bytes, 4096);
      const image = await rawImage('fuzz.raw', content.length);
      const source = (async function* () {
        yield damaged;
      })();
      const outcome = await importXva(source, [{ member: 'Ref:4', image }]).then(
        () => readFileSync(file('fuzz.raw')).equals(content),
        (error) => /^E(?:XVA|IMAGE)/.test(error.code),
      );
      await image.close();
      expect(outcome, `seed ${seed}, case ${i}`).toBe(true);
    }
  });
});
