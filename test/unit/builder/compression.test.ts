/** Every compression that Linux uses: bare and in bzImages, whole, cut off, too big; and the bzImage header's lies. */
import { describe, expect, it } from 'vitest';
import { MAX_KERNEL_ELF_BYTES } from '../../../src/base/limits.js';
import { type Compression, detectCompression, expand } from '../../../src/xenner/builder/compression.js';
import { unpackKernel } from '../../../src/xenner/builder/unpack.js';
import {
  COMPRESSIONS,
  compress,
  decompress,
  errorOf,
  makeBzImage,
  makeKernel,
  makePayload,
  missingTool,
  neverDecompress,
  noAddon,
} from './images.js';

const kernel = makeKernel();

describe.each(COMPRESSIONS)('%s', (format) => {
  const reason = noAddon ?? missingTool(format);
  const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;
  const maybe = it.skipIf(reason !== undefined);

  maybe(`is undone, bare and in a bzImage${suffix}`, () => {
    const bare = unpackKernel(compress(format, kernel), decompress);
    expect(bare).toMatchObject({ loader: 'ELF', compression: [format] });
    expect(bare.elf.equals(kernel)).toBe(true);
    const bz = unpackKernel(makeBzImage(makePayload(format, kernel)), decompress);
    expect(bz).toMatchObject({ loader: 'bzImage', compression: [format] });
    expect(bz.elf.equals(kernel)).toBe(true);
  });

  maybe(`is undone around a bzImage${suffix}`, () => {
    const outer = compress(format, makeBzImage(makePayload('gzip', kernel)));
    expect(unpackKernel(outer, decompress)).toMatchObject({
      loader: 'bzImage',
      compression: [format, 'gzip'],
    });
  });

  maybe(`works over more than one block${suffix}`, () => {
    const large = Buffer.concat([kernel, Buffer.alloc(9 * 2 ** 20, 'block '), noise(300_000)]);
    expect(expand(format, compress(format, large), large.length, decompress).equals(large)).toBe(true);
  });

  maybe(`never gives more than it may${suffix}`, () => {
    const bomb = compress(format, Buffer.alloc(2 ** 22));
    expect(errorOf(() => expand(format, bomb, 2 ** 20, decompress)).code).toBe('EIMAGE_TOO_BIG');
  });

  maybe(`is refused when cut off${suffix}`, () => {
    const stream = compress(format, kernel);
    for (const part of [0.1, 0.5, 0.9]) {
      const cut = stream.subarray(0, Math.floor(stream.length * part));
      expect(errorOf(() => expand(format, cut, kernel.length, decompress)).code).toBe('EIMAGE_DAMAGED');
    }
  });

  maybe(`must have the size that the bzImage says${suffix}`, () => {
    const payload = makePayload(format, kernel);
    for (const [wrong, codes] of [
      [kernel.length + 1, ['EIMAGE_DAMAGED']],
      [kernel.length - 1, ['EIMAGE_TOO_BIG', 'EIMAGE_DAMAGED']],
      [MAX_KERNEL_ELF_BYTES + 1, ['EIMAGE_TOO_BIG']],
    ] as const) {
      payload.writeUInt32LE(wrong, payload.length - 4);
      expect(codes).toContain(errorOf(() => unpackKernel(makeBzImage(payload), decompress)).code);
    }
  });
});

describe('a bzImage', () => {
  it('may hold an uncompressed kernel', () => {
    const unpacked = unpackKernel(makeBzImage(makePayload('none', kernel)), neverDecompress);
    expect(unpacked).toMatchObject({ loader: 'bzImage', compression: [] });
    expect(unpacked.elf.equals(kernel)).toBe(true);
  });

  it('may say 0 for 4 setup sectors', () => {
    const image = makeBzImage(makePayload('none', kernel), { setupSects: 0 });
    expect(unpackKernel(image, neverDecompress).elf.equals(kernel)).toBe(true);
  });

  const good = makePayload('none', kernel);
  it.each([
    {
      name: 'is too old to say where its kernel is',
      image: makeBzImage(good, { version: 0x0207 }),
      code: 'EIMAGE_FORMAT',
      text: '2.07',
    },
    {
      name: 'points past its end',
      image: makeBzImage(good, { payloadOffset: 0xfffffff0 }),
      code: 'EIMAGE_DAMAGED',
      text: 'cut off',
    },
    {
      name: 'has a payload longer than itself',
      image: makeBzImage(good, { payloadLength: 0xffffffff }),
      code: 'EIMAGE_DAMAGED',
      text: 'cut off',
    },
    {
      name: 'has a payload of 3 bytes',
      image: makeBzImage(good, { payloadLength: 3 }),
      code: 'EIMAGE_DAMAGED',
      text: 'cut off',
    },
    {
      name: 'has an empty payload',
      image: makeBzImage(good, { payloadLength: 4 }),
      code: 'EIMAGE_FORMAT',
      text: 'no compression',
    },
    {
      name: 'has an unknown payload',
      image: makeBzImage(Buffer.alloc(64, 'x')),
      code: 'EIMAGE_FORMAT',
      text: 'no compression',
    },
    {
      name: 'ends in its header',
      image: makeBzImage(good).subarray(0, 0x24f),
      code: 'EIMAGE_DAMAGED',
      text: 'setup header',
    },
  ])('that $name is refused', ({ image, code, text }) => {
    const error = errorOf(() => unpackKernel(image, neverDecompress));
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
  });

  it.skipIf(noAddon !== undefined)(
    `that holds no ELF file is refused${noAddon ? ` (skipped: ${noAddon})` : ''}`,
    () => {
      const image = makeBzImage(compress('gzip', Buffer.from('not a kernel')));
      expect(errorOf(() => unpackKernel(image, decompress)).code).toBe('EIMAGE_FORMAT');
    },
  );
});

describe('anything else', () => {
  it.each([
    { name: 'nothing', data: Buffer.alloc(0) },
    { name: 'text', data: Buffer.from('#!/bin/sh\n') },
    { name: 'a boot sector', data: Buffer.from(makeBzImage(Buffer.alloc(0)).subarray(0, 512)) },
  ])('$name is no kernel', ({ data }) => {
    expect(errorOf(() => unpackKernel(data, neverDecompress)).code).toBe('EIMAGE_FORMAT');
  });

  it.skipIf(noAddon !== undefined)(
    `wrapped twice is no kernel${noAddon ? ` (skipped: ${noAddon})` : ''}`,
    () => {
      const twice = compress('gzip', compress('gzip', kernel));
      expect(errorOf(() => unpackKernel(twice, decompress)).code).toBe('EIMAGE_FORMAT');
    },
  );
});

describe('containers in TypeScript', () => {
  const lz4 = (...blocks: number[][]) =>
    Buffer.concat([Buffer.from([2, 0x21, 0x4c, 0x18]), ...blocks.map((block) => Buffer.from(block))]);
  it.each<{ name: string; format: Compression; data: Buffer; code: string }>([
    { name: 'half a block size', format: 'lz4', data: lz4([1, 0]), code: 'EIMAGE_DAMAGED' },
    { name: 'an empty block', format: 'lz4', data: lz4([0, 0, 0, 0]), code: 'EIMAGE_DAMAGED' },
    { name: 'a block past the end', format: 'lz4', data: lz4([5, 0, 0, 0, 1, 2]), code: 'EIMAGE_DAMAGED' },
    { name: 'a block of 4 GiB', format: 'lz4', data: lz4([255, 255, 255, 255, 1]), code: 'EIMAGE_DAMAGED' },
    { name: 'a header cut off', format: 'lzo', data: lzop([]).subarray(0, 20), code: 'EIMAGE_DAMAGED' },
    { name: 'a filter', format: 'lzo', data: lzop([], 0x800), code: 'EIMAGE_DAMAGED' },
    { name: 'no end', format: 'lzo', data: lzop([]), code: 'EIMAGE_DAMAGED' },
    {
      name: 'a block of 65 MiB',
      format: 'lzo',
      data: lzop([4, 0x10, 0, 0, 0, 0, 0, 9]),
      code: 'EIMAGE_DAMAGED',
    },
    {
      name: 'a block larger than its contents',
      format: 'lzo',
      data: lzop([0, 0, 0, 4, 0, 0, 0, 5]),
      code: 'EIMAGE_DAMAGED',
    },
    {
      name: 'more than it may give',
      format: 'lzo',
      data: lzop([0, 1, 0, 1, 0, 0, 0, 9]),
      code: 'EIMAGE_TOO_BIG',
    },
  ])('$format with $name', ({ format, data, code }) => {
    expect(detectCompression(data)).toBe(format);
    expect(errorOf(() => expand(format, data, 65536, neverDecompress)).code).toBe(code);
  });

  it('take a second magic number of lz4 for the start of another frame', () => {
    const calls: number[] = [];
    const data = lz4([1, 0, 0, 0, 0xaa], [2, 0x21, 0x4c, 0x18], [1, 0, 0, 0, 0xbb]);
    expand('lz4', data, 100, (_format, block) => {
      calls.push(block[0]!);
      return Buffer.from(block);
    });
    expect(calls).toEqual([0xaa, 0xbb]);
  });

  it.each([
    { name: 'of 2004, before levels', header: lzopHeader({ version: 0x0930 }) },
    {
      name: 'with an extra field',
      header: lzopHeader({ flags: 0x40, extra: Buffer.from([0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0]) }),
    },
    { name: 'with a name and checksums', header: lzopHeader({ flags: 0x101, name: 'vmlinux' }), sums: 8 },
  ])('take a stored block of lzo $name', ({ header, sums = 0 }) => {
    const data = Buffer.concat([
      header,
      Buffer.from([0, 0, 0, 2, 0, 0, 0, 2]),
      Buffer.alloc(sums),
      Buffer.from('ok'),
      Buffer.alloc(4),
    ]);
    expect(expand('lzo', data, 10, neverDecompress).toString()).toBe('ok');
  });
});

/** Bytes that do not compress, always the same. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

function lzopHeader(spec: { version?: number; flags?: number; name?: string; extra?: Buffer }): Buffer {
  const version = spec.version ?? 0x1040;
  const modern = version >= 0x0940;
  const be32 = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  const name = spec.name ?? '';
  return Buffer.concat([
    Buffer.from([0x89, 0x4c, 0x5a, 0x4f, 0, 0x0d, 0x0a, 0x1a, 0x0a, version >> 8, version & 255, 0x20, 0xa0]),
    Buffer.from(modern ? [0x09, 0x40, 3, 9] : [3]),
    Buffer.from([...be32(spec.flags ?? 0), ...be32(0), ...be32(0), ...(modern ? be32(0) : [])]),
    Buffer.from([name.length, ...Buffer.from(name), ...be32(0)]),
    spec.extra ?? Buffer.alloc(0),
  ]);
}

function lzop(blocks: number[], flags = 0): Buffer {
  return Buffer.concat([lzopHeader({ flags }), Buffer.from(blocks)]);
}
