/** Which format an image is, whom we believe that, and what an open image refuses. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openImage } from '../../../src/mgmt/storage/open-image.js';
import { createQcow2 } from '../../../src/mgmt/storage/qcow2/create.js';
import { Qcow2Image } from '../../../src/mgmt/storage/qcow2/image.js';
import { RawImage } from '../../../src/mgmt/storage/raw-image.js';
import type { BlockImage } from '../../../src/xenner/backend/block/block-image.js';
import { expectContent, firstDifference, KIB, MIB, patchwork } from './disk-model.js';
import { missingQemu, qemuImg, scratch } from './scratch.js';

const file = scratch();
const code = (name: string) => expect.objectContaining({ code: name });
const disk = patchwork(MIB, 6);
writeFileSync(file('disk.raw'), disk);
await createQcow2(file('empty.qcow2'), { sizeBytes: MIB });
const header = readFileSync(file('empty.qcow2')).subarray(0, 512);

const sameAs = (content: Uint8Array) => (found: Uint8Array) => firstDifference(found, content);
const ZEROS = new Uint8Array(MIB);

async function contentOf(image: BlockImage): Promise<Uint8Array> {
  const content = new Uint8Array(image.sizeBytes);
  await image.read(0, [content]);
  await image.close();
  return content;
}

/** A copy of the empty image with some bytes changed. */
function patched(name: string, change: (image: Buffer) => void): string {
  const image = readFileSync(file('empty.qcow2'));
  change(image);
  writeFileSync(file(name), image);
  return file(name);
}

describe('the format', () => {
  it('is what the file looks like, or what is said', async () => {
    const looks = await openImage(file('empty.qcow2'), { readOnly: true });
    expect(looks).toBeInstanceOf(Qcow2Image);
    expect(firstDifference(await contentOf(looks), ZEROS)).toBe(-1);
    const told = await openImage(file('empty.qcow2'), { readOnly: true, format: 'raw' });
    expect(told).toBeInstanceOf(RawImage);
    expect(Buffer.from((await contentOf(told)).subarray(0, 512))).toEqual(header);
    expect(await openImage(file('disk.raw'), { readOnly: true }).then(contentOf).then(sameAs(disk))).toBe(-1);
    await expect(openImage(file('disk.raw'), { format: 'qcow2' })).rejects.toThrow(
      /there is no qcow2 header/,
    );
    await expect(openImage(file('disk.raw'), { format: 'vmdk' })).rejects.toThrow(
      /no image format "vmdk"; use one of qcow2, .*raw/,
    );
  });

  it('does not become another one by what a guest writes', async () => {
    writeFileSync(file('guest.raw'), disk);
    const guessed = await openImage(file('guest.raw'));
    await expect(guessed.write(0, [header])).rejects.toThrow(code('EPERM'));
    await guessed.write(0, [Buffer.alloc(512, 1), header]);
    await guessed.close();
    const told = await openImage(file('guest.raw'), { format: 'raw' });
    await told.write(0, [header]);
    await told.close();
    expect(await openImage(file('guest.raw'), { format: 'raw' })).toBeInstanceOf(RawImage);
  });

  it.skipIf(missingQemu)(
    'of a backing file that does not say it is only believed where nothing hangs on it',
    async () => {
      const above = (name: string, backing: string, ...format: string[]) => {
        qemuImg('create', '-u', '-f', 'qcow2', '-b', backing, ...format, file(name), '1M');
        // qemu-img insists on a format: take it out again.
        const image = readFileSync(file(name));
        if (image.readUInt32BE(112) === 0xe2792aca) image.writeUInt32BE(0x12345678, 112);
        writeFileSync(file(name), image);
        return openImage(file(name), { readOnly: true });
      };
      expect(await above('a.qcow2', 'disk.raw', '-F', 'raw').then(contentOf).then(sameAs(disk))).toBe(-1);
      expect(await above('b.qcow2', 'empty.qcow2', '-F', 'qcow2').then(contentOf).then(sameAs(ZEROS))).toBe(
        -1,
      );
      await expect(above('c.qcow2', 'a.qcow2', '-F', 'qcow2')).rejects.toThrow(code('EIMAGE_FORMAT'));
    },
  );

  it.skipIf(missingQemu)('names only files that the opener allows', async () => {
    qemuImg('create', '-f', 'qcow2', '-b', 'disk.raw', '-F', 'raw', file('policy.qcow2'));
    const asked: string[] = [];
    const mayOpen = (path: string) => asked.push(path) === 0;
    await expect(openImage(file('policy.qcow2'), { mayOpen })).rejects.toThrow(code('EBACKING'));
    expect(asked).toEqual([file('disk.raw')]);
  });
});

describe('what a header says', () => {
  it('that we do not know is refused, by its name if it has one', async () => {
    const path = patched('unknown.qcow2', (image) => {
      image.writeBigUInt64BE((1n << 9n) | (1n << 40n), 72);
      image.writeUInt32BE(0x6803f857, 112);
      image.writeUInt32BE(48, 116);
      image.writeUInt8(9, 121);
      image.write('time travel', 122);
    });
    await expect(openImage(path)).rejects.toThrow(/not known here: time travel, bit 40/);
  });

  it('of damage lets it be read, not written', async () => {
    const path = patched('corrupt.qcow2', (image) => image.writeBigUInt64BE(2n, 72));
    await expect(openImage(path)).rejects.toThrow(/marked corrupt/);
    expect(await openImage(path, { readOnly: true }).then(contentOf).then(sameAs(ZEROS))).toBe(-1);
  });

  it('of itself, and we do not know, is taken back before a write', async () => {
    const path = patched('autoclear.qcow2', (image) => image.writeBigUInt64BE(1n << 60n, 88));
    await (await openImage(path, { readOnly: true })).close();
    expect(readFileSync(path).readBigUInt64BE(88)).toBe(1n << 60n);
    await (await openImage(path)).close();
    expect(readFileSync(path).readBigUInt64BE(88)).toBe(0n);
  });
});

describe.each(['raw', 'qcow2'])('an open %s image', (format) => {
  const make = async (name: string): Promise<string> => {
    const path = file(`${name}.${format}`);
    if (format === 'raw') writeFileSync(path, Buffer.alloc(MIB));
    else await createQcow2(path, { sizeBytes: MIB });
    return path;
  };
  const sector = () => [new Uint8Array(512)];

  it('refuses what is outside of it or no sector', async () => {
    const image = await openImage(await make('range'), { format });
    for (const offset of [MIB, -512, 100, Number.NaN, 2 ** 53]) {
      await expect(image.read(offset, sector())).rejects.toThrow(code('EINVAL'));
      await expect(image.write(offset, sector())).rejects.toThrow(code('EINVAL'));
      await expect(image.discard(offset, 512)).rejects.toThrow(code('EINVAL'));
      await expect(image.writeZeroes(offset, 512)).rejects.toThrow(code('EINVAL'));
    }
    await expect(image.read(0, [new Uint8Array(100)])).rejects.toThrow(code('EINVAL'));
    await image.read(0, []);
    await image.write(0, []);
    await image.close();
  });

  it('that is only to be read is not written', async () => {
    const image = await openImage(await make('reading'), { format, readOnly: true });
    expect([image.readOnly, image.canDiscard]).toEqual([true, false]);
    await expect(image.write(0, sector())).rejects.toThrow(code('EROFS'));
    await expect(image.discard(0, 512)).rejects.toThrow(code('EROFS'));
    await expect(image.writeZeroes(0, 512)).rejects.toThrow(code('EROFS'));
    await image.flush();
    await image.close();
  });

  it('finishes what is under way when it is closed, and takes nothing more', async () => {
    const path = await make('closing');
    const image = await openImage(path, { format });
    const content = patchwork(MIB, 8);
    const writes = Array.from({ length: 16 }, (_, i) =>
      image.write(i * 64 * KIB, [content.subarray(i * 64 * KIB, (i + 1) * 64 * KIB)]),
    );
    const closed = image.close();
    await expect(image.read(0, sector())).rejects.toThrow(code('EBADF'));
    await Promise.all([...writes, closed, image.close()]);
    const again = await openImage(path, { format });
    await expectContent(again, content);
    await again.close();
  });

  it('gives space back', async () => {
    const path = await make('space');
    const image = await openImage(path, { format });
    await image.write(0, [new Uint8Array(MIB).fill(1)]);
    await image.flush();
    const { blocks } = statSync(path);
    await image.discard(0, MIB / 2);
    await image.writeZeroes(MIB / 2, MIB / 4, { mayUnmap: true });
    await image.close();
    expect(statSync(path).blocks).toBeLessThan(blocks / 2);
    const again = await openImage(path, { format, readOnly: true });
    await expectContent(again, Buffer.alloc(MIB).fill(1, (3 * MIB) / 4));
    await again.close();
  });
});
