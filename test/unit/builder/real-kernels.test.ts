/**
 * Stock kernels, fetched by images/kernel.sh: whatever is in the cache is looked at, a kernel that is not there is a
 * named skip.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestMemory, gpa } from '../../../src/kvm/guest-memory.js';
import { start_info } from '../../../src/xenner/abi/xen.js';
import { buildGuest } from '../../../src/xenner/builder/build.js';
import { readBytes } from '../../../src/xenner/builder/image-source.js';
import { inspectKernel } from '../../../src/xenner/builder/inspect-kernel.js';
import { KernelCache, kernelCacheDirectory } from '../../../src/xenner/builder/kernel-cache.js';
import { openKernel } from '../../../src/xenner/builder/kernel-image.js';
import { findProfile, LATEST } from '../../../src/xenner/profile/profiles.js';
import { decompress, LINUX_BASE, neverDecompress, noAddon } from './images.js';

const IMAGES = join(dirname(kernelCacheDirectory()), 'images');
const MIB = 2 ** 20;

function kernelFile(name: string): string | undefined {
  const directory = join(IMAGES, `kernel-${name}`);
  const file = existsSync(directory) && readdirSync(directory).find((entry) => entry.startsWith('vmlinuz-'));
  return file ? join(directory, file) : undefined;
}

const KERNELS = [
  { name: 'bookworm', compression: 'xz' },
  { name: 'bookworm-cloud', compression: 'lz4' },
  { name: 'bullseye', compression: 'xz' },
  { name: 'backports', compression: 'zstd' },
];

describe.each(KERNELS)('Debian $name', ({ name, compression }) => {
  const path = kernelFile(name);
  const reason = noAddon ?? (path ? undefined : `images/kernel.sh ${name} has not been run`);
  const maybe = it.skipIf(reason !== undefined);
  const suffix = reason === undefined ? '' : ` (skipped: ${reason})`;
  let cache: string;
  beforeAll(() => {
    cache = mkdtempSync(join(tmpdir(), 'xenner-kernels-'));
  });
  afterAll(() => rmSync(cache, { recursive: true }));

  maybe(`is a PV kernel${suffix}`, () => {
    const report = inspectKernel(path!, decompress);
    expect(report).toMatchObject({
      loader: 'bzImage',
      compression: [compression],
      bits: 64,
      params: {
        origin: 'notes',
        guestOs: 'linux',
        xenVersion: 'xen-3.0',
        loader: 'generic',
        modStartPfn: true,
      },
      pv: {
        virtBase: LINUX_BASE,
        start: LINUX_BASE + 0x1000000n,
        initP2m: 0x8000000000n,
        unmappedInitrd: true,
      },
    });
  });

  maybe(`is built into guest memory, from its file and from the cache alike${suffix}`, () => {
    const build = (open: typeof decompress): GuestMemory => {
      const memory = GuestMemory.create(128 * MIB);
      const kernel = openKernel(path!, open, new KernelCache(cache));
      const start = buildGuest(memory, kernel, {
        nrPages: (128 * MIB) / 4096,
        cmdline: 'console=hvc0',
        sharedInfo: gpa(0),
        storeEvtchn: 1,
        ...findProfile(LATEST).startInfo,
        consoleEvtchn: 2,
      });
      for (const segment of kernel.elf.segments.filter(({ type }) => type === 1)) {
        const loaded = memory.copyOut(gpa(Number(segment.paddr)), segment.length);
        expect(readBytes(kernel.source, segment.offset, segment.length).equals(loaded)).toBe(true);
      }
      kernel.source.close();
      const info = start_info.decode(memory.copyOut(start.startInfo.gpa, 4096));
      expect(info).toMatchObject({ magic: 'xen-3.0-x86_64', mfn_list: 0x8000000000n });
      return memory;
    };
    const fresh = build(decompress);
    const cached = build(neverDecompress);
    expect(Buffer.from(cached.copyOut(gpa(0), 128 * MIB)).equals(fresh.copyOut(gpa(0), 128 * MIB))).toBe(
      true,
    );
    fresh.close();
    cached.close();
  });
});
