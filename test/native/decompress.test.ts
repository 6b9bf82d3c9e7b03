/** Decompressors: what Debian's own tools compress, and everything hostile that can be made of it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { type DecompressFormat, decompress, decompressElsewhere } from '../../src/kvm/index.js';

const MIB = 2 ** 20;
const refused = (code: 'EBADMSG' | 'E2BIG') => expect.objectContaining({ code });

/** Text, runs and noise: every kind of token of these formats. Repeatable. */
function sample(bytes: number): Buffer {
  const data = Buffer.alloc(bytes);
  let state = 12345;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const section = (i >> 12) % 3;
    data[i] = section === 0 ? state >>> 24 : section === 1 ? 'the quick brown fox '.charCodeAt(i % 20) : 0;
  }
  return data;
}

/** The only block of `lz4 -l`: magic, length, block (lz4's Documentation/lz4_Frame_format.md, legacy frame). */
function lz4Block(file: Buffer): Buffer {
  return file.subarray(8, 8 + file.readUInt32LE(4));
}

/** The first block of an lzop file: see lzop's conf.h and the header it writes for standard input. */
function lzoBlock(file: Buffer): Buffer {
  const F_ADLER32_D = 1;
  const flags = file.readUInt32BE(17);
  const block = 9 + 2 + 2 + 2 + 1 + 1 + 4 + 4 + 4 + 4 + 1 + file.readUInt8(33) + 4;
  const length = file.readUInt32BE(block + 4);
  const data = block + 8 + (flags & F_ADLER32_D ? 4 : 0);
  return file.subarray(data, data + length);
}

interface Case {
  format: DecompressFormat;
  tool: string;
  args: string[];
  /** Raw blocks are smaller than lzop's own block size. */
  bytes: number;
  unwrap?: (file: Buffer) => Buffer;
  /** Whether damage anywhere is always noticed. Raw blocks and lzma's alone format have no checksum. */
  checksum: boolean;
}

const cases: Case[] = [
  { format: 'gzip', tool: 'gzip', args: ['-9c'], bytes: MIB, checksum: true },
  { format: 'bzip2', tool: 'bzip2', args: ['-9c'], bytes: MIB, checksum: true },
  { format: 'lzma', tool: 'lzma', args: ['-1c'], bytes: MIB, checksum: false },
  // As Linux's scripts/xz_wrap.sh does for x86.
  {
    format: 'xz',
    tool: 'xz',
    args: ['-c', '--check=crc32', '--x86', '--lzma2=dict=32MiB'],
    bytes: MIB,
    checksum: true,
  },
  { format: 'zstd', tool: 'zstd', args: ['-c', '-22', '--ultra', '--check'], bytes: MIB, checksum: true },
  { format: 'lz4-block', tool: 'lz4', args: ['-lc9'], bytes: MIB, unwrap: lz4Block, checksum: false },
  { format: 'lzo1x', tool: 'lzop', args: ['-c9'], bytes: MIB / 4, unwrap: lzoBlock, checksum: false },
];

const hasTool = (tool: string) => spawnSync(tool, ['--version']).error === undefined;
const needs = (tool: string) => (context: TestContext) =>
  context.skip(!hasTool(tool), `${tool} is not installed`);

describe.each(cases)('$format', ({ format, tool, args, bytes, unwrap, checksum }) => {
  beforeEach(needs(tool));
  const compress = (data: Buffer) => {
    const file = execFileSync(tool, args, { input: data, maxBuffer: 64 * MIB });
    return unwrap ? unwrap(file) : file;
  };
  const data = sample(bytes);
  const packed = hasTool(tool) ? compress(data) : data;

  it(`what ${tool} made, with the bound just large enough`, () => {
    expect(decompress(format, packed, bytes).equals(data)).toBe(true);
    expect(decompress(format, packed, 64 * MIB).equals(data)).toBe(true);
  });

  it('one byte more than the bound is E2BIG', () => {
    expect(() => decompress(format, packed, bytes - 1)).toThrow(refused('E2BIG'));
    expect(() => decompress(format, packed, 0)).toThrow(refused('E2BIG'));
  });

  it('a bomb stops at the bound', () => {
    const bomb = compress(Buffer.alloc(unwrap ? bytes : 32 * MIB));
    const before = process.memoryUsage().rss;
    expect(() => decompress(format, bomb, 65536)).toThrow(refused('E2BIG'));
    // bzip2, lzma and zstd keep windows of their own.
    expect(process.memoryUsage().rss - before).toBeLessThan(160 * MIB);
  });

  it('truncated anywhere is EBADMSG', () => {
    const cuts = [0, 1, 2, 5, 17, packed.length >> 1, packed.length - 9, packed.length - 1];
    for (const cut of cuts) {
      expect(() => decompress(format, packed.subarray(0, cut), 64 * MIB), `${cut}`).toThrow(
        refused('EBADMSG'),
      );
    }
  });

  it('damage is noticed, or stays within the bound', () => {
    for (let i = 0; i < 60; i++) {
      const damaged = Buffer.from(packed);
      // Not the last bytes: trailing fields that nobody reads.
      const at = Math.floor((i / 60) * (packed.length - 16)) + 8;
      damaged[at] = damaged[at]! ^ (1 << (i % 8));
      let output: Buffer | undefined;
      try {
        output = decompress(format, damaged, bytes);
      } catch (error) {
        expect(['EBADMSG', 'E2BIG']).toContain((error as { code: string }).code);
      }
      if (output && !checksum) expect(output.length).toBeLessThanOrEqual(bytes);
      else if (output) expect(output.equals(data), `flip at ${at}`).toBe(true);
    }
  });

  it('elsewhere, several at once, as here', async () => {
    const run = (input: Buffer, most: number) => decompressElsewhere(format, input, most);
    const both = await Promise.all([run(packed, bytes), run(packed, 64 * MIB)]);
    for (const output of both) expect(output.equals(data)).toBe(true);
    await expect(run(packed, bytes - 1)).rejects.toEqual(refused('E2BIG'));
    await expect(run(packed.subarray(0, packed.length >> 1), bytes)).rejects.toEqual(refused('EBADMSG'));
  });

  it('noise and nothing are EBADMSG', () => {
    expect(() => decompress(format, Buffer.alloc(0), MIB)).toThrow(refused('EBADMSG'));
    const noise = Buffer.alloc(4096, 0xff);
    expect(() => decompress(format, noise, MIB)).toThrow();
  });
});

describe('streams', () => {
  const streams = cases.filter(({ unwrap }) => !unwrap);
  it.for(streams)('$format: what follows its end is ignored', (c, context) => {
    needs(c.tool)(context);
    const packed = execFileSync(c.tool, c.args, { input: Buffer.from('hello') });
    const followed = Buffer.concat([packed, Buffer.from('\0\0\0\0four bytes of size, and padding')]);
    expect(decompress(c.format, followed, 5).toString()).toBe('hello');
    expect(decompress(c.format, packed, 5).toString()).toBe('hello');
  });

  it.for(streams)('$format: a stream of nothing gives nothing', (c, context) => {
    needs(c.tool)(context);
    const packed = execFileSync(c.tool, c.args, { input: Buffer.alloc(0) });
    expect(decompress(c.format, packed, 0).length).toBe(0);
  });

  it('a dictionary of 4 GiB is refused before anything is allocated', () => {
    // lzma alone: properties, dictionary size, unknown uncompressed size.
    const header = Buffer.concat([
      Buffer.of(0x5d),
      Buffer.alloc(4, 0xff),
      Buffer.alloc(8, 0xff),
      Buffer.alloc(64),
    ]);
    expect(() => decompress('lzma', header, MIB)).toThrow(refused('E2BIG'));
  });

  it('arguments that are not what they should be are EINVAL', () => {
    const bad = expect.objectContaining({ code: 'EINVAL' });
    expect(() => decompress('zip' as DecompressFormat, Buffer.alloc(1), 1)).toThrow(bad);
    expect(() => decompress('gzip', 'text' as unknown as Buffer, 1)).toThrow(bad);
    expect(() => decompress('gzip', new Uint16Array(1) as unknown as Buffer, 1)).toThrow(bad);
    for (const max of [-1, 0.5, Number.NaN, 2 ** 31 + 1]) {
      expect(() => decompress('gzip', Buffer.alloc(1), max), String(max)).toThrow(bad);
    }
  });
});
