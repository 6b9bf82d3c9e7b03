/** Which kernels may boot, and where: the checks of libelf-dominfo.c and what this hypervisor does not offer. */
import { describe, expect, it } from 'vitest';
import { parseElf } from '../../../src/xenner/builder/elf.js';
import {
  addFeatureString,
  featureNames,
  noFeatures,
  refusedFeatures,
} from '../../../src/xenner/builder/features.js';
import { BufferSource } from '../../../src/xenner/builder/image-source.js';
import { pvKernel, requirePvKernel, usableRange } from '../../../src/xenner/builder/pv-kernel.js';
import { parseXenGuest, readXenParams } from '../../../src/xenner/builder/xen-params.js';
import { errorOf, LINUX_BASE, LINUX_NOTES, makeElf, makeKernel } from './images.js';

type Notes = Parameters<typeof makeKernel>[0];

function check(notes: Notes, options: Parameters<typeof makeKernel>[1] = {}) {
  const source = new BufferSource(makeKernel(notes, options));
  const elf = parseElf(source);
  return pvKernel(elf, readXenParams(source, elf));
}

function without(...names: Array<keyof typeof LINUX_NOTES>): Notes {
  return Object.fromEntries(Object.entries(LINUX_NOTES).filter(([name]) => !names.includes(name as never)));
}

describe('a PV kernel', () => {
  it('has its addresses from its notes', () => {
    expect(
      check({ ...LINUX_NOTES, HYPERCALL_PAGE: LINUX_BASE + 0x101000n }, { memoryBytes: 0x20000 }),
    ).toEqual({
      virtBase: LINUX_BASE,
      entry: LINUX_BASE + 0x100000n,
      start: LINUX_BASE + 0x100000n,
      end: LINUX_BASE + 0x120000n,
      paddrOffset: 0n,
      hypercallPage: LINUX_BASE + 0x101000n,
      unmappedInitrd: false,
      bsdSymtab: false,
    });
  });

  it('may start at 0, as Mini-OS does', () => {
    const notes = {
      GUEST_OS: 'Mini-OS',
      XEN_VERSION: 'xen-3.0',
      LOADER: 'generic',
      VIRT_BASE: 0,
      ENTRY: 0x100000,
    };
    expect(check(notes)).toMatchObject({ virtBase: 0n, entry: 0x100000n, start: 0x100000n });
  });

  it('without an entry note starts at the entry of the ELF header', () => {
    const elf = parseElf(
      new BufferSource(makeElf({ entry: 0x123n, segments: [{ paddr: 0n, data: Buffer.alloc(4096) }] })),
    );
    expect(pvKernel(elf, parseXenGuest('LOADER=generic,XEN_VER=xen-3.0'))).toMatchObject({
      entry: 0x123n,
      virtBase: 0n,
    });
  });

  it('from before the notes has virtual addresses where the physical ones belong', () => {
    const elf = parseElf(
      new BufferSource(makeElf({ segments: [{ paddr: LINUX_BASE + 0x200000n, data: Buffer.alloc(8192) }] })),
    );
    const params = parseXenGuest(
      `GUEST_OS=linux,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,VIRT_ENTRY=0xffffffff80200000,HYPERCALL_PAGE=0x201`,
    );
    expect(pvKernel(elf, params)).toMatchObject({
      paddrOffset: LINUX_BASE,
      start: LINUX_BASE + 0x200000n,
      hypercallPage: LINUX_BASE + 0x201000n,
    });
  });

  it.each([
    { name: 'below the kernel', note: 0x8000000000n, expected: 0x8000000000n },
    { name: 'not page-aligned: void', note: 0x8000000800n, expected: undefined },
    { name: 'above the base: void', note: LINUX_BASE + 0x40000000n, expected: undefined },
  ])('wants its p2m list $name', ({ note, expected }) => {
    expect(check({ ...LINUX_NOTES, INIT_P2M: note })).toMatchObject({ unmappedInitrd: false });
    expect((check({ ...LINUX_NOTES, INIT_P2M: note }) as { initP2m?: bigint }).initP2m).toBe(expected);
  });
});

describe('refused:', () => {
  it.each<{ name: string; notes: Notes; text: string }>([
    {
      name: 'a PVH-only kernel',
      notes: { ...without('VIRT_BASE', 'ENTRY', 'PADDR_OFFSET', 'FEATURES'), PHYS32_ENTRY: 0x1000 },
      text: 'PVH entry point only',
    },
    {
      name: 'another loader',
      notes: { ...LINUX_NOTES, GUEST_OS: 'NetBSD', LOADER: 'special' },
      text: "loader 'special'",
    },
    { name: 'no loader, no Linux', notes: { ...without('LOADER'), GUEST_OS: 'plan9' }, text: "'plan9'" },
    { name: 'another interface', notes: { ...LINUX_NOTES, XEN_VERSION: 'xen-2.0' }, text: "'xen-2.0'" },
    { name: 'no interface', notes: without('XEN_VERSION'), text: "''" },
    {
      name: 'supervisor mode',
      notes: { ...LINUX_NOTES, FEATURES: '!supervisor_mode_kernel' },
      text: 'requires supervisor_mode_kernel',
    },
    {
      name: 'translation',
      notes: { ...LINUX_NOTES, FEATURES: '!auto_translated_physmap|!dom0' },
      text: 'requires auto_translated_physmap, dom0',
    },
    {
      name: 'an HVM callback',
      notes: { ...LINUX_NOTES, FEATURES: '!hvm_callback_vector' },
      text: 'hvm_callback_vector',
    },
    {
      name: 'something unknown',
      notes: { ...LINUX_NOTES, FEATURES: '!frobnicate' },
      text: 'requires frobnicate',
    },
    { name: 'an offset without a base', notes: without('VIRT_BASE'), text: 'without a virtual base' },
    {
      name: 'a base inside a page',
      notes: { ...LINUX_NOTES, VIRT_BASE: LINUX_BASE + 1n },
      text: 'page-aligned',
    },
    {
      name: 'a kernel below its base',
      notes: { ...LINUX_NOTES, PADDR_OFFSET: 0x200000n },
      text: 'outside the mapping',
    },
    {
      name: 'a kernel past the last address',
      notes: { ...LINUX_NOTES, VIRT_BASE: 0xfffffffffff00000n, ENTRY: 0xfffffffffff00000n },
      text: 'outside the mapping',
    },
    { name: 'an entry before the kernel', notes: { ...LINUX_NOTES, ENTRY: LINUX_BASE }, text: 'entry point' },
    {
      name: 'an entry behind the kernel',
      notes: { ...LINUX_NOTES, ENTRY: LINUX_BASE + 0x110000n },
      text: 'entry point',
    },
    {
      name: "a base in Xen's hole",
      notes: { ...LINUX_NOTES, VIRT_BASE: 0xffff800000000000n, ENTRY: 0xffff800000100000n },
      text: 'Xen does not map',
    },
    {
      name: 'a base that is no address',
      notes: { ...LINUX_NOTES, VIRT_BASE: 1n << 50n, ENTRY: (1n << 50n) + 0x100000n },
      text: 'Xen does not map',
    },
    {
      name: 'a hypercall page outside',
      notes: { ...LINUX_NOTES, HYPERCALL_PAGE: LINUX_BASE },
      text: 'hypercall page',
    },
    {
      name: 'a hypercall page behind the kernel',
      notes: { ...LINUX_NOTES, HYPERCALL_PAGE: LINUX_BASE + 0x110000n },
      text: 'hypercall page',
    },
    {
      name: "a p2m list in Xen's hole",
      notes: { ...LINUX_NOTES, INIT_P2M: 0xffff800000000000n },
      text: 'p2m list',
    },
  ])('$name', ({ notes, text }) => {
    expect(check(notes)).toContain(text);
  });

  it('a 32-bit kernel', () => {
    expect(check({ GUEST_OS: 'linux' }, { bits: 32 })).toBe('it is a 32-bit kernel');
  });

  it('a kernel that says nothing about Xen, in one line', () => {
    const source = new BufferSource(makeElf({ segments: [{ paddr: 0n, data: Buffer.alloc(16) }] }));
    const elf = parseElf(source);
    const error = errorOf(() => requirePvKernel(elf, readXenParams(source, elf)));
    expect(error).toMatchObject({ code: 'EKERNEL_NOT_PV' });
    expect(error.message).toContain('neither Xen notes nor');
  });
});

describe('features', () => {
  it.each([
    { text: '', supported: [], refused: [] },
    { text: 'writable_page_tables||bogus|', supported: ['writable_page_tables'], refused: [] },
    {
      text: '!writable_page_tables|!pae_pgdir_above_4gb',
      supported: ['writable_page_tables', 'pae_pgdir_above_4gb'],
      refused: [],
    },
    { text: 'supervisor_mode_kernel|dom0', supported: ['supervisor_mode_kernel', 'dom0'], refused: [] },
    {
      text: '!writable_descriptor_tables|!',
      supported: ['writable_descriptor_tables'],
      refused: ['writable_descriptor_tables', ''],
    },
  ])("'$text'", ({ text, supported, refused }) => {
    const features = noFeatures();
    addFeatureString(features, text);
    expect(featureNames(features.supported)).toEqual(supported);
    expect(refusedFeatures(features)).toEqual(refused);
  });
});

describe('usable addresses', () => {
  it.each([
    { from: 0n, to: 1n << 47n, usable: true },
    { from: 0n, to: (1n << 47n) + 1n, usable: false },
    { from: 0xffff800000000000n, to: 0xffff800000001000n, usable: false },
    { from: 0xffff87fffffff000n, to: 0xffff880000001000n, usable: false },
    { from: 0xffff880000000000n, to: 1n << 64n, usable: true },
    { from: 0xffffffffc0000000n, to: (1n << 64n) + 1n, usable: false },
    { from: 1n << 47n, to: (1n << 47n) + 4096n, usable: false },
  ])('$from to $to: $usable', ({ from, to, usable }) => {
    expect(usableRange(from, to)).toBe(usable);
  });
});
