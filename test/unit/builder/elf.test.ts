/** ELF headers: both classes, and every way in which a file can lie. */
import { describe, expect, it } from 'vitest';
import { parseElf } from '../../../src/xenner/builder/elf.js';
import { BufferSource } from '../../../src/xenner/builder/image-source.js';
import { errorOf, makeElf, makeKernel } from './images.js';

const DATA = Buffer.from('0123456789abcdef');
const parse = (file: Buffer) => parseElf(new BufferSource(file));

describe.each([32, 64] as const)('ELF%i', (bits) => {
  const file = makeElf({
    bits,
    entry: 0x1000n,
    segments: [
      { paddr: 0x2000n, data: DATA, memoryBytes: 64 },
      { type: 4, paddr: 0n, data: Buffer.from('note') },
      { type: 2, paddr: 0n, data: Buffer.from('dynamic') },
      { paddr: 0x1000n, data: DATA },
      { paddr: 0x9000n, data: Buffer.alloc(0) },
    ],
    sections: [
      { name: '.text', type: 1, data: DATA },
      { name: '__xen_guest', type: 1, data: Buffer.from('GUEST_OS=linux\0') },
    ],
  });

  it('gives what is to be loaded and the notes', () => {
    const elf = parse(file);
    expect(elf).toMatchObject({ bits, entry: 0x1000n });
    expect(elf.segments).toMatchObject([
      { type: 1, paddr: 0x2000n, length: 16, memoryBytes: 64 },
      { type: 4, length: 4 },
      { type: 1, paddr: 0x1000n, length: 16, memoryBytes: 16 },
    ]);
    const { offset } = elf.segments[0]!;
    expect(file.subarray(offset, offset + 16)).toEqual(DATA);
  });

  it('gives the sections by name', () => {
    const section = parse(file)
      .sections()
      .find(({ name }) => name === '__xen_guest')!;
    expect(file.toString('latin1', section.offset, section.offset + section.length)).toBe('GUEST_OS=linux\0');
  });

  it('is refused wherever it is cut off in its headers or segments', () => {
    const kernel = makeKernel({ GUEST_OS: 'linux' }, { bits });
    for (const length of [0, 3, 19, 51, 63, 64, 100, 200, 1000, kernel.length - 1]) {
      expect(['EIMAGE_DAMAGED', 'EIMAGE_FORMAT']).toContain(
        errorOf(() => parse(kernel.subarray(0, length))).code,
      );
    }
  });
});

const kernel = makeKernel();
/** Offsets in the file header and in the first program header of an ELF64. */
const EH = { class: 4, data: 5, type: 16, machine: 18, phoff: 32, phentsize: 54, phnum: 56 };
const PH = { offset: 64 + 8, paddr: 64 + 24, filesz: 64 + 32, memsz: 64 + 40 };

describe('a file that lies', () => {
  it.each<{ name: string; at: number; bytes: number[]; code: string; text: string }>([
    { name: 'no magic number', at: 0, bytes: [0x7e], code: 'EIMAGE_FORMAT', text: 'not an ELF file' },
    { name: 'class 3', at: EH.class, bytes: [3], code: 'EIMAGE_FORMAT', text: 'little-endian' },
    { name: 'big-endian', at: EH.data, bytes: [2], code: 'EIMAGE_FORMAT', text: 'little-endian' },
    { name: 'an object file', at: EH.type, bytes: [1, 0], code: 'EIMAGE_FORMAT', text: 'not an executable' },
    { name: 'for ARM', at: EH.machine, bytes: [40, 0], code: 'EIMAGE_FORMAT', text: 'another machine' },
    {
      name: 'program headers past the end',
      at: EH.phoff,
      bytes: [0, 0, 0, 0x7f],
      code: 'EIMAGE_DAMAGED',
      text: 'ends after',
    },
    {
      name: 'program headers at 2^63',
      at: EH.phoff + 7,
      bytes: [0x80],
      code: 'EIMAGE_DAMAGED',
      text: 'ends after',
    },
    {
      name: 'a strange entry size',
      at: EH.phentsize,
      bytes: [57, 0],
      code: 'EIMAGE_DAMAGED',
      text: '57 bytes',
    },
    { name: 'too many segments', at: EH.phnum, bytes: [65, 0], code: 'EIMAGE_DAMAGED', text: 'limit of 64' },
    { name: 'no segments', at: EH.phnum, bytes: [0, 0], code: 'EIMAGE_DAMAGED', text: 'nothing to load' },
    {
      name: 'a segment past the end',
      at: PH.offset,
      bytes: [0, 0, 0, 0, 1],
      code: 'EIMAGE_DAMAGED',
      text: 'inside a segment',
    },
    {
      name: 'a segment of 2^63 bytes',
      at: PH.filesz + 7,
      bytes: [0x80],
      code: 'EIMAGE_DAMAGED',
      text: 'inside a segment',
    },
    {
      name: '2^40 bytes in memory',
      at: PH.memsz + 5,
      bytes: [1],
      code: 'EIMAGE_TOO_BIG',
      text: 'limit of 512 MiB',
    },
    {
      name: 'less in memory than in the file',
      at: PH.memsz,
      bytes: [1, 0, 0],
      code: 'EIMAGE_DAMAGED',
      text: 'larger in the file',
    },
    {
      name: 'a segment around the address space',
      at: PH.paddr,
      bytes: new Array(8).fill(0xff),
      code: 'EIMAGE_DAMAGED',
      text: 'address space',
    },
  ])('$name', ({ at, bytes, code, text }) => {
    const file = Buffer.from(kernel);
    file.set(bytes, at);
    const error = errorOf(() => parse(file));
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
  });

  it('has overlapping segments', () => {
    const overlap = [
      { paddr: 0x1008n, data: DATA },
      { paddr: 0x1000n, data: DATA },
    ];
    expect(errorOf(() => parse(makeElf({ segments: overlap }))).message).toContain('overlap');
  });

  it('has section names that are not there', () => {
    const file = makeElf({
      segments: [{ paddr: 0n, data: DATA }],
      sections: [{ name: '.x', type: 1, data: DATA }],
    });
    const elf = parse(file);
    const shoff = Number(file.readBigUInt64LE(40));
    file.writeUInt32LE(0x7fffffff, shoff + 64);
    expect(elf.sections().map(({ name }) => name)).not.toContain('.x');
    file.writeBigUInt64LE(1n << 40n, shoff + 64 + 24);
    expect(errorOf(() => elf.sections()).code).toBe('EIMAGE_DAMAGED');
    file.writeUInt16LE(0xffff, 60);
    expect(errorOf(() => parse(file).sections()).message).toContain('limit');
  });
});
