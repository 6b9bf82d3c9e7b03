/** VHD: what qemu-img writes we read, what we write it reads; differencing images, and what a crash leaves. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openImage } from '../../../src/mgmt/storage/open-image.js';
import { createVhd } from '../../../src/mgmt/storage/vhd/create.js';
import { checksum, geometryOf } from '../../../src/mgmt/storage/vhd/format.js';
import { fuzzSettings, mutate, Random } from '../../fuzz/random.js';
import { expectContent, KIB, MIB, patchwork } from './disk-model.js';
import { missingQemu, qemuImg, scratch } from './scratch.js';

const file = scratch();
/** A size that the geometry of a VHD has exactly: 12288 sectors and more are rounded by others. */
const BYTES = 9 * MIB + 64 * KIB;
const content = patchwork(BYTES, 21);
const raw = file('disk.raw');
writeFileSync(raw, content);

async function write(
  path: string,
  changes: readonly (readonly [offset: number, data: Buffer])[],
): Promise<void> {
  const image = await openImage(path, { format: 'vhd' });
  await Promise.all(changes.map(([offset, data]) => image.write(offset, [data])));
  await image.close();
}

async function expectDisk(path: string, disk: Buffer): Promise<void> {
  const image = await openImage(path, { format: 'vhd', readOnly: true });
  try {
    await expectContent(image, disk);
  } finally {
    await image.close();
  }
}

/** Changes by chance, in the model and as a list. */
function churn(disk: Buffer, seed: number, count: number): (readonly [number, Buffer])[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => {
    const offset = 512 * random.below(disk.length / 512 - 1);
    const data = patchwork(Math.min(512 * (1 + random.below(600)), disk.length - offset), random.next());
    return [offset, data] as const;
  });
}

describe.skipIf(missingQemu)(`beside qemu-img (skipped: ${missingQemu})`, () => {
  it.each(['dynamic', 'fixed'])('a %s image of its making is read', async (kind) => {
    const path = file(`theirs-${kind}.vhd`);
    qemuImg('convert', '-f', 'raw', '-O', 'vpc', '-o', `subformat=${kind},force_size=on`, raw, path);
    await expectDisk(path, content);
  });

  it('an image whose size is what its geometry has, has the size that QEMU says', async () => {
    const path = file('geometry.vhd');
    qemuImg('create', '-f', 'vpc', path, '50M');
    const { 'virtual-size': size } = JSON.parse(qemuImg('info', '--output=json', path));
    const image = await openImage(path, { readOnly: true });
    expect(image.sizeBytes).toBe(size);
    await image.close();
  });

  it.each(['dynamic', 'fixed'] as const)(
    'a %s image of ours is read by it, after writes in any order',
    async (type) => {
      const path = file(`ours-${type}.vhd`);
      await createVhd(path, { sizeBytes: BYTES, type });
      const disk = Buffer.alloc(BYTES);
      for (let round = 0; round < 3; round++) {
        for (const change of churn(disk, round, 12)) {
          change[1].copy(disk, change[0]);
          await write(path, [change]);
        }
      }
      await expectDisk(path, disk);
      qemuImg('convert', '-f', 'vpc', '-O', 'raw', path, file('back.raw'));
      expect(readFileSync(file('back.raw')).equals(disk)).toBe(true);
      expect(JSON.parse(qemuImg('info', '-f', 'vpc', '--output=json', path))['virtual-size']).toBe(BYTES);
    },
  );

  it('what it wrote, we change', async () => {
    const path = file('mixed.vhd');
    qemuImg('convert', '-f', 'raw', '-O', 'vpc', '-o', 'force_size=on', raw, path);
    const disk = Buffer.from(content);
    for (const change of churn(disk, 9, 20)) {
      change[1].copy(disk, change[0]);
      await write(path, [change]);
    }
    qemuImg('convert', '-f', 'vpc', '-O', 'raw', path, file('mixed.raw'));
    expect(readFileSync(file('mixed.raw')).equals(disk)).toBe(true);
  });
});

describe('differencing images', () => {
  it('have what was written to them, and their parent the rest', async () => {
    await createVhd(file('base.vhd'), { sizeBytes: BYTES });
    await write(file('base.vhd'), [[0, content]]);
    await createVhd(file('one.vhd'), { parent: 'base.vhd' });
    await createVhd(file('two.vhd'), { parent: 'one.vhd', sizeBytes: BYTES + MIB });
    const disk = Buffer.concat([content, Buffer.alloc(MIB)]);
    for (const [name, seed, limit] of [
      ['one.vhd', 3, BYTES],
      ['two.vhd', 4, BYTES + MIB],
    ] as const) {
      const part = disk.subarray(0, limit);
      for (const change of churn(part, seed, 10)) {
        change[1].copy(disk, change[0]);
        await write(file(name), [change]);
      }
    }
    await expectDisk(file('two.vhd'), disk);
    await expectDisk(file('base.vhd'), content);
  });

  it('zeros hide what is below, and a parent that is another is refused', async () => {
    await createVhd(file('three.vhd'), { parent: 'base.vhd' });
    const image = await openImage(file('three.vhd'));
    await image.writeZeroes(MIB, 3 * MIB);
    await image.close();
    const disk = Buffer.from(content).fill(0, MIB, 4 * MIB);
    await expectDisk(file('three.vhd'), disk);
    await createVhd(file('four.vhd'), { parent: 'base.vhd' });
    const bytes = readFileSync(file('four.vhd'));
    bytes[512 + 40] = bytes[512 + 40]! ^ 1;
    bytes.writeUInt32BE(checksum(bytes.subarray(512, 1536), 36), 512 + 36);
    writeFileSync(file('four.vhd'), bytes);
    await expect(openImage(file('four.vhd'), { readOnly: true })).rejects.toThrow(
      'not the image that it was made from',
    );
  });
});

describe('an open image', () => {
  it('takes writes at once, flushes between them, and keeps all of them', async () => {
    await createVhd(file('busy.vhd'), { sizeBytes: BYTES });
    const image = await openImage(file('busy.vhd'));
    const disk = Buffer.alloc(BYTES);
    const running: Promise<void>[] = [];
    for (let i = 0; i < 64; i++) {
      const data = patchwork(72 * KIB, i);
      const offset = ((i * 37) % 126) * 72 * KIB;
      data.copy(disk, offset);
      running.push(image.write(offset, [data]));
      if (i % 7 === 0) running.push(image.flush());
    }
    await Promise.all(running);
    await image.close();
    await expectDisk(file('busy.vhd'), disk);
  });

  it('without its end is what was flushed: the copy of the footer in front serves', async () => {
    await createVhd(file('crash.vhd'), { sizeBytes: BYTES });
    await write(file('crash.vhd'), [[0, content.subarray(0, MIB)]]);
    const size = readFileSync(file('crash.vhd')).length;
    // As an interrupted write to a new block leaves it.
    writeFileSync(
      file('crash.vhd'),
      Buffer.concat([readFileSync(file('crash.vhd')), Buffer.alloc(300 * KIB, 0x5a)]),
    );
    const disk = Buffer.alloc(BYTES);
    content.copy(disk, 0, 0, MIB);
    await expectDisk(file('crash.vhd'), disk);
    const change = [4 * MIB, patchwork(8 * KIB, 1)] as const;
    change[1].copy(disk, change[0]);
    await write(file('crash.vhd'), [change]);
    await expectDisk(file('crash.vhd'), disk);
    truncateSync(file('crash.vhd'), size - 512 * KIB);
    await expect(openImage(file('crash.vhd'))).rejects.toThrow('ends before its last block');
  });

  it('says what it cannot', async () => {
    await expect(createVhd(file('none.vhd'), { sizeBytes: 100 })).rejects.toThrow('cannot have 100 bytes');
    await expect(createVhd(file('none.vhd'), { sizeBytes: 2 ** 42 })).rejects.toThrow('2040 GiB');
    const image = await openImage(file('busy.vhd'), { readOnly: true });
    await expect(image.write(0, [Buffer.alloc(512)])).rejects.toMatchObject({ code: 'EROFS' });
    await expect(image.read(BYTES, [Buffer.alloc(512)])).rejects.toMatchObject({ code: 'EINVAL' });
    await image.close();
    await expect(image.read(0, [Buffer.alloc(512)])).rejects.toMatchObject({ code: 'EBADF' });
  });
});

describe.skipIf(missingQemu)(`the geometry is QEMU's (skipped: ${missingQemu})`, () => {
  it.each([1, 3, 20, 50, 504, 505, 8 * KIB, 127 * KIB])('%d MiB', (mib) => {
    const path = file(`geometry-${mib}.vhd`);
    qemuImg('create', '-f', 'vpc', path, `${mib}M`);
    const footer = readFileSync(path).subarray(0, 512);
    const geometry = [footer.readUInt16BE(56), footer[58], footer[59]];
    expect(geometryOf(Number(footer.readBigUInt64BE(48)))).toEqual(geometry);
  });
});

it('damaged images: an error, or bytes', async () => {
  const whole = readFileSync(file('one.vhd'));
  const { cases, seed } = fuzzSettings(80);
  const random = new Random(seed);
  for (let i = 0; i < cases; i++) {
    writeFileSync(file('fuzz.vhd'), mutate(random, whole, 4096));
    try {
      const image = await openImage(file('fuzz.vhd'), { format: 'vhd' });
      await image.read(0, [Buffer.alloc(64 * KIB)]);
      await image.write(0, [Buffer.alloc(64 * KIB)]);
      await image.close();
    } catch (error) {
      expect((error as { code?: string }).code, `seed ${seed}, case ${i}: ${error}`).toMatch(/^E/);
    }
  }
});
