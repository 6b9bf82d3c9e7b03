/**
 * Kernel images are hostile: whatever is in the file, the answer is a guest or one of our errors, soon, and within the
 * limits. Longer runs: XENNER_FUZZ_CASES=100000 XENNER_FUZZ_SEED=7 npx vitest run test/fuzz/images.test.ts
 */
import { describe, expect, it } from 'vitest';
import { XennerError } from '../../src/base/errors.js';
import { MAX_KERNEL_ELF_BYTES } from '../../src/base/limits.js';
import { GuestMemory, gpa } from '../../src/kvm/guest-memory.js';
import { buildGuest, type StartOfDay } from '../../src/xenner/builder/build.js';
import type { Decompress } from '../../src/xenner/builder/compression.js';
import { parseElf } from '../../src/xenner/builder/elf.js';
import { parseNotes } from '../../src/xenner/builder/elf-notes.js';
import { BufferSource } from '../../src/xenner/builder/image-source.js';
import { pvKernel } from '../../src/xenner/builder/pv-kernel.js';
import { unpackKernel } from '../../src/xenner/builder/unpack.js';
import { parseXenGuest, readXenParams } from '../../src/xenner/builder/xen-params.js';
import { findProfile, LATEST } from '../../src/xenner/profile/profiles.js';
import {
  COMPRESSIONS,
  compress,
  decompress,
  LINUX_NOTES,
  makeBzImage,
  makeElf,
  makeKernel,
  makeNotes,
  makePayload,
  missingTool,
  noAddon,
} from '../unit/builder/images.js';
import { fuzzSettings, mutate, Random } from './random.js';

const { cases, seed } = fuzzSettings(1500);
/** Far above what any input needs: a hang, not a slow machine. */
const MAX_CASE_MS = 5000;
const MAX_GROWTH_BYTES = 2 * MAX_KERNEL_ELF_BYTES;

const NOTES = {
  ...LINUX_NOTES,
  INIT_P2M: 0x8000000000n,
  MOD_START_PFN: 1,
  HYPERCALL_PAGE: 0xffffffff80100000n,
};
const LEGACY =
  'GUEST_OS=linux,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,VIRT_ENTRY=0xffffffff80100000,HYPERCALL_PAGE=0x100,' +
  'ELF_PADDR_OFFSET=0xffffffff80000000,FEATURES=writable_page_tables|!pae_pgdir_above_4gb,PAE=yes,LOADER=generic';

const small = (sections: boolean): Buffer =>
  makeElf({
    entry: 0xffffffff80100000n,
    segments: [
      { paddr: sections ? 0xffffffff80100000n : 0x100000n, data: Buffer.alloc(4200, 'code') },
      ...(sections ? [] : [{ type: 4, paddr: 0n, data: makeNotes(NOTES) }]),
    ],
    ...(sections && { sections: [{ name: '__xen_guest', type: 1, data: Buffer.from(`${LEGACY}\0`) }] }),
  });

const memory = GuestMemory.create(64 * 2 ** 20);

const bounded: Decompress = (format, data, maxBytes) => {
  expect(maxBytes).toBeLessThanOrEqual(MAX_KERNEL_ELF_BYTES);
  const output = decompress(format, data, maxBytes);
  expect(output.length).toBeLessThanOrEqual(maxBytes);
  return output;
};

function boot(file: Buffer): StartOfDay | string {
  const { elf: image } = unpackKernel(file, bounded);
  const source = new BufferSource(image);
  const elf = parseElf(source);
  const params = readXenParams(source, elf);
  const pv = pvKernel(elf, params);
  if (typeof pv === 'string') return pv;
  return buildGuest(
    memory,
    { source, elf, params: params!, pv },
    {
      nrPages: memory.size / 4096,
      cmdline: '',
      initrd: new BufferSource(Buffer.alloc(5000)),
      sharedInfo: gpa(0),
      storeEvtchn: 1,
      ...findProfile(LATEST).startInfo,
      consoleEvtchn: 2,
    },
  );
}

/** Runs `subject` on mutations of `input`; returns how often it succeeded. */
function fuzz(input: Buffer, head: number, subject: (bytes: Buffer) => unknown): number {
  let accepted = 0;
  for (let i = 0; i < cases; i++) {
    const bytes = mutate(new Random(seed * 1_000_003 + i), input, head);
    const before = process.memoryUsage();
    const start = performance.now();
    try {
      subject(bytes);
      accepted++;
    } catch (error) {
      if (!(error instanceof XennerError) || error.message.includes('\n')) {
        throw new Error(`seed ${seed}, case ${i}: ${error}`, { cause: error });
      }
    }
    expect(performance.now() - start, `ms of seed ${seed}, case ${i}`).toBeLessThan(MAX_CASE_MS);
    const growth = process.memoryUsage().external - before.external;
    expect(growth, `bytes taken by seed ${seed}, case ${i}`).toBeLessThan(MAX_GROWTH_BYTES);
  }
  return accepted;
}

describe('mutated', () => {
  it('ELF kernels with notes', () => {
    const kernel = small(false);
    expect(typeof boot(kernel)).toBe('object');
    const accepted = fuzz(kernel, 176, boot);
    // Both outcomes, or the mutations are too wild or too mild to test anything.
    expect(accepted).toBeGreaterThan(cases / 100);
    expect(accepted).toBeLessThan(cases);
    fuzz(kernel, kernel.length, boot);
  });

  it('ELF kernels with a __xen_guest section', () => {
    const kernel = small(true);
    expect(typeof boot(kernel)).toBe('object');
    fuzz(kernel, kernel.length, boot);
  });

  it('32-bit ELF kernels', () => {
    fuzz(makeKernel({ GUEST_OS: 'linux' }, { bits: 32 }).subarray(0, 8000), 200, boot);
  });

  it('notes', () => {
    const notes = makeNotes(NOTES);
    fuzz(notes, notes.length, (bytes) => {
      const elf = makeElf({
        segments: [
          { paddr: 0x100000n, data: Buffer.alloc(64) },
          { type: 4, paddr: 0n, data: bytes },
        ],
      });
      parseNotes(bytes);
      return boot(elf);
    });
  });

  it('__xen_guest strings', () => {
    fuzz(Buffer.from(LEGACY), LEGACY.length, (bytes) => parseXenGuest(bytes.toString('latin1')));
  });

  it('bzImages with a plain payload', () => {
    const image = makeBzImage(makePayload('none', small(false)));
    expect(typeof boot(image)).toBe('object');
    fuzz(image, 0x260, boot);
  });

  const formats = COMPRESSIONS.map((format) => ({ format, reason: noAddon ?? missingTool(format) }));
  for (const { format, reason } of formats) {
    const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;
    it.skipIf(reason !== undefined)(`${format} streams and bzImages${suffix}`, () => {
      const stream = compress(format, small(false));
      expect(typeof boot(stream)).toBe('object');
      fuzz(stream, 64, boot);
      const image = makeBzImage(makePayload(format, small(false)));
      expect(typeof boot(image)).toBe('object');
      fuzz(image.subarray(0x1f1), image.length, (bytes) =>
        boot(Buffer.concat([image.subarray(0, 0x1f1), bytes])),
      );
    });
  }
});
