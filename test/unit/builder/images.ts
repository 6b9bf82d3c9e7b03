/** Makes ELF files, notes, bzImages and compressed streams for the tests of the builder. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect } from 'vitest';
import { XennerError } from '../../../src/base/errors.js';
import type { Addon } from '../../../src/kvm/addon.js';
import * as elfnote from '../../../src/xenner/abi/elfnote.js';
import type { Compression, Decompress } from '../../../src/xenner/builder/compression.js';

const ADDON = new URL('../../../build/Release/xenner.node', import.meta.url).pathname;

/** Why nothing can be decompressed here, for the name of a skipped test. */
export const noAddon = existsSync(ADDON) ? undefined : 'the addon is not built';

export const decompress: Decompress = (format, data, maxBytes) =>
  (createRequire(import.meta.url)(ADDON) as Addon).decompress(format, data, maxBytes);

/** For inputs that must be refused before anything is decompressed. */
export const neverDecompress: Decompress = () => {
  throw new Error('decompress was called');
};

const COMMANDS: Record<Compression, string[]> = {
  gzip: ['gzip', '-9', '-n'],
  bzip2: ['bzip2', '-9'],
  // As scripts/Makefile.lib of Linux compresses kernels.
  lzma: ['lzma', '-9'],
  xz: ['xz', '--check=crc32', '--x86', '--lzma2=dict=32MiB'],
  lzo: ['lzop', '-9'],
  lz4: ['lz4', '-l', '-9'],
  zstd: ['zstd', '-3'],
};

export const COMPRESSIONS = Object.keys(COMMANDS) as Compression[];

export function missingTool(format: Compression): string | undefined {
  const tool = COMMANDS[format][0]!;
  return spawnSync(tool, ['--version']).error === undefined ? undefined : `${tool} is not installed`;
}

export function compress(format: Compression, data: Buffer): Buffer {
  const [tool, ...options] = COMMANDS[format];
  const run = spawnSync(tool!, [...options, '-c'], { input: data, maxBuffer: 2 ** 30 });
  if (run.status !== 0) throw new Error(`${tool}: ${run.stderr}`);
  return run.stdout;
}

export interface SegmentSpec {
  type?: number;
  paddr: bigint;
  data: Buffer;
  memoryBytes?: number;
}

export interface ElfSpec {
  bits?: 32 | 64;
  machine?: number;
  type?: number;
  entry?: bigint;
  segments: SegmentSpec[];
  sections?: Array<{ name: string; type: number; data: Buffer }>;
}

export function makeElf(spec: ElfSpec): Buffer {
  const bits = spec.bits ?? 64;
  const sections = spec.sections ?? [];
  const names = Buffer.from(`\0${sections.map(({ name }) => `${name}\0`).join('')}.shstrtab\0`);
  const all = sections.length === 0 ? [] : [...sections, { name: '.shstrtab', type: 3, data: names }];
  const sizes = bits === 64 ? { ehdr: 64, phdr: 56, shdr: 64 } : { ehdr: 52, phdr: 32, shdr: 40 };
  const tables = sizes.ehdr + sizes.phdr * spec.segments.length;
  const chunks: Buffer[] = [];
  let offset = tables;
  const place = (data: Buffer): number => {
    chunks.push(data);
    offset += data.length;
    return offset - data.length;
  };
  const w = new Writer(bits);
  const segments = spec.segments.map((segment) => ({ ...segment, offset: place(segment.data) }));
  const placed = all.map((section) => ({ ...section, offset: place(section.data) }));
  const shoff = offset;

  w.raw(Buffer.from([0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1, ...new Array(9).fill(0)]));
  w.u16(spec.type ?? 2)
    .u16(spec.machine ?? (bits === 64 ? 62 : 3))
    .u32(1);
  w.word(spec.entry ?? 0n)
    .word(BigInt(sizes.ehdr))
    .word(all.length > 0 ? BigInt(shoff) : 0n)
    .u32(0);
  w.u16(sizes.ehdr).u16(sizes.phdr).u16(segments.length).u16(sizes.shdr);
  w.u16(all.length === 0 ? 0 : all.length + 1).u16(all.length);
  for (const { type, paddr, data, memoryBytes, offset } of segments) {
    w.u32(type ?? 1);
    if (bits === 64) w.u32(7);
    w.word(BigInt(offset))
      .word(paddr)
      .word(paddr)
      .word(BigInt(data.length))
      .word(BigInt(memoryBytes ?? data.length));
    if (bits === 32) w.u32(7);
    w.word(1n);
  }
  for (const chunk of chunks) w.raw(chunk);
  if (all.length > 0) w.raw(Buffer.alloc(sizes.shdr));
  for (const { name, type, data, offset } of placed) {
    w.u32(names.indexOf(`\0${name}\0`) + 1)
      .u32(type)
      .word(0n)
      .word(0n);
    w.word(BigInt(offset)).word(BigInt(data.length)).u32(0).u32(0).word(1n).word(0n);
  }
  return w.bytes();
}

class Writer {
  private readonly chunks: Buffer[] = [];
  constructor(private readonly bits: 32 | 64) {}
  raw(data: Buffer): this {
    this.chunks.push(data);
    return this;
  }
  u16(value: number): this {
    const b = Buffer.alloc(2);
    b.writeUInt16LE(value);
    return this.raw(b);
  }
  u32(value: number): this {
    const b = Buffer.alloc(4);
    b.writeUInt32LE(value);
    return this.raw(b);
  }
  word(value: bigint): this {
    if (this.bits === 32) return this.u32(Number(value));
    const b = Buffer.alloc(8);
    b.writeBigUInt64LE(value);
    return this.raw(b);
  }
  bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

const NOTE_TYPES = new Map<string, number>(Object.entries(elfnote));

type NoteName = Exclude<keyof typeof elfnote, 'XEN_ELFNOTE_MAX'> extends `XEN_ELFNOTE_${infer N}` ? N : never;
export type NoteValue = string | bigint | number | Buffer;

/** One note; a bigint takes 8 bytes, a number 4, a string its NUL. */
export function makeNote(type: number, value: NoteValue, owner = 'Xen'): Buffer {
  const desc =
    typeof value === 'string'
      ? Buffer.from(`${value}\0`)
      : typeof value === 'bigint'
        ? Buffer.from(BigUint64Array.of(value).buffer)
        : typeof value === 'number'
          ? Buffer.from(Uint32Array.of(value).buffer)
          : value;
  const name = Buffer.from(`${owner}\0`);
  const header = Buffer.from(Uint32Array.of(name.length, desc.length, type).buffer);
  return Buffer.concat([header, pad4(name), pad4(desc)]);
}

function pad4(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc(-data.length & 3)]);
}

/** Notes by their names: `{ GUEST_OS: 'linux', VIRT_BASE: 0n }`. */
export function makeNotes(notes: Partial<Record<NoteName, NoteValue>>): Buffer {
  return Buffer.concat(
    Object.entries(notes).map(([name, value]) => makeNote(NOTE_TYPES.get(`XEN_ELFNOTE_${name}`)!, value)),
  );
}

export const LINUX_BASE = 0xffffffff80000000n;

/** What Linux says; entry at the kernel's first byte, 1 MiB above the base. */
export const LINUX_NOTES: Partial<Record<NoteName, NoteValue>> = {
  GUEST_OS: 'linux',
  GUEST_VERSION: '2.6',
  XEN_VERSION: 'xen-3.0',
  LOADER: 'generic',
  VIRT_BASE: LINUX_BASE,
  ENTRY: LINUX_BASE + 0x100000n,
  PADDR_OFFSET: 0n,
  FEATURES: '!writable_page_tables|pae_pgdir_above_4gb',
};

/** A kernel of one 64 KiB segment at 1 MiB, whose bytes tell their position. */
export function makeKernel(
  notes: Partial<Record<NoteName, NoteValue>> = LINUX_NOTES,
  options: { bits?: 32 | 64; memoryBytes?: number } = {},
): Buffer {
  const data = Buffer.alloc(65536);
  for (let i = 0; i < data.length; i += 4) data.writeUInt32LE(i + 1, i);
  return makeElf({
    ...(options.bits && { bits: options.bits }),
    segments: [
      { paddr: 0x100000n, data, memoryBytes: options.memoryBytes ?? data.length },
      { type: 4, paddr: 0n, data: makeNotes(notes) },
    ],
  });
}

export interface BzImageSpec {
  version?: number;
  setupSects?: number;
  /** Left out: the payload's own length. */
  payloadLength?: number;
  payloadOffset?: number;
}

export function makeBzImage(payload: Buffer, spec: BzImageSpec = {}): Buffer {
  const sectors = spec.setupSects ?? 3;
  const setup = Buffer.alloc(((sectors || 4) + 1) * 512);
  setup[0x1f1] = sectors;
  setup.writeUInt16LE(0xaa55, 0x1fe);
  setup.write('HdrS', 0x202, 'latin1');
  setup.writeUInt16LE(spec.version ?? 0x020f, 0x206);
  const offset = spec.payloadOffset ?? 100;
  setup.writeUInt32LE(offset, 0x248);
  setup.writeUInt32LE(spec.payloadLength ?? payload.length, 0x24c);
  return Buffer.concat([setup, Buffer.alloc(100, 0xf4), payload, Buffer.alloc(64, 0xf4)]);
}

/** As Linux's build makes them: gzip ends in the size by itself, for the others it is appended. */
export function makePayload(format: Compression | 'none', elf: Buffer): Buffer {
  const size = Buffer.from(Uint32Array.of(elf.length).buffer);
  if (format === 'none') return Buffer.concat([elf, size]);
  const stream = compress(format, elf);
  return format === 'gzip' ? stream : Buffer.concat([stream, size]);
}

/** The error of `run`, which must be one of ours and of one line. */
export function errorOf(run: () => unknown): XennerError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(XennerError);
    expect((error as XennerError).message).not.toContain('\n');
    return error as XennerError;
  }
  throw new Error('nothing was thrown');
}
