/** `xenner inspect` on kernels made here: what cannot boot is an answer too, and no string of an image drives a terminal. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { inspectCommand } from '../../../src/cli/inspect.js';
import { LINUX_BASE, LINUX_NOTES, makeElf, makeKernel, noAddon } from './images.js';

const LINUX_32 = { GUEST_OS: 'linux', LOADER: 'generic', XEN_VERSION: 'xen-3.0' };

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'xenner-inspect-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

async function inspect(kernel: Buffer, ...options: string[]): Promise<string> {
  const path = join(directory, 'kernel');
  writeFileSync(path, kernel);
  let text = '';
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += chunk;
    return true;
  });
  try {
    await inspectCommand().parseAsync([...options, path], { from: 'user' });
  } finally {
    spy.mockRestore();
  }
  return text;
}

const legacy = makeElf({
  entry: LINUX_BASE,
  segments: [{ paddr: LINUX_BASE, data: Buffer.alloc(8192) }],
  sections: [
    {
      name: '__xen_guest',
      type: 1,
      data: Buffer.from('GUEST_OS=linux,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,HYPERCALL_PAGE=1\0'),
    },
  ],
});

describe.skipIf(noAddon !== undefined)(`inspect${noAddon ? ` (skipped: ${noAddon})` : ''}`, () => {
  it.each([
    {
      name: 'a PV kernel',
      kernel: makeKernel(),
      lines: ['PV-capable +yes', 'hypercall page +none, it issues syscall itself'],
    },
    {
      name: 'a kernel without Xen',
      kernel: makeElf({ segments: [{ paddr: 0n, data: Buffer.alloc(9) }] }),
      lines: ['PV-capable +no: it has neither Xen notes nor .*'],
    },
    {
      name: 'a 32-bit kernel',
      kernel: makeKernel(LINUX_32, { bits: 32 }),
      lines: ['format +ELF, 32-bit', 'PV-capable +no: it is a 32-bit kernel', 'note GUEST_OS +linux'],
    },
    {
      name: 'a demanding kernel',
      kernel: makeKernel({ ...LINUX_NOTES, FEATURES: '!dom0|!magic|writable_page_tables' }),
      lines: [
        'PV-capable +no: it requires dom0, magic',
        'requires +dom0, magic',
        'supports +writable_page_tables, dom0',
      ],
    },
    {
      name: 'an old kernel',
      kernel: legacy,
      lines: [
        'PV-capable +yes',
        'hypercall page +0xffffffff80001000',
        '__xen_guest VIRT_BASE +0xffffffff80000000',
      ],
    },
    {
      name: 'a nasty kernel',
      kernel: makeKernel({ ...LINUX_NOTES, GUEST_OS: 'linux\x1b[2J\n' }),
      lines: ['note GUEST_OS +linux\\\\x1b\\[2J\\\\x0a'],
    },
  ])('shows $name', async ({ kernel, lines }) => {
    const text = await inspect(kernel);
    for (const line of lines) expect(text).toMatch(new RegExp(`^${line}$`, 'm'));
    expect(text).toMatch(/^[ -~\n]*$/);
  });

  it('says the same in JSON', async () => {
    const json = JSON.parse(await inspect(makeKernel({ ...LINUX_NOTES, INIT_P2M: 0x8000000000n }), '--json'));
    expect(json).toMatchObject({
      loader: 'ELF',
      compression: [],
      pvCapable: true,
      entry: '0xffffffff80100000',
      initP2m: '0x8000000000',
      hypercallPage: null,
      features: {
        required: ['writable_page_tables'],
        supported: ['writable_page_tables', 'pae_pgdir_above_4gb'],
      },
    });
    expect(json.xen.said).toContainEqual({ name: 'GUEST_OS', value: 'linux' });
  });

  it('says in JSON why a kernel cannot boot', async () => {
    const json = JSON.parse(await inspect(makeKernel({ ...LINUX_NOTES, XEN_VERSION: 'xen-2.0' }), '--json'));
    expect(json).toMatchObject({
      pvCapable: false,
      whyNot: "it is built for the interface 'xen-2.0', not xen-3.0",
    });
    expect(json.entry).toBeUndefined();
  });

  it('fails in one line on what is no kernel', async () => {
    await expect(inspect(Buffer.from('hello'))).rejects.toMatchObject({ code: 'EIMAGE_FORMAT' });
  });
});
