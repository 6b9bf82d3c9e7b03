/** What kernels say about themselves, in notes and in __xen_guest; rules of libelf-dominfo.c. */
import { describe, expect, it } from 'vitest';
import { parseElf } from '../../../src/xenner/builder/elf.js';
import { numericNote, parseNotes } from '../../../src/xenner/builder/elf-notes.js';
import { BufferSource } from '../../../src/xenner/builder/image-source.js';
import { parseXenGuest, readXenParams, strtoull } from '../../../src/xenner/builder/xen-params.js';
import {
  errorOf,
  LINUX_BASE,
  LINUX_NOTES,
  makeElf,
  makeKernel,
  makeNote,
  makeNotes,
  type NoteValue,
} from './images.js';

const DATA = Buffer.alloc(16);

function read(file: Buffer) {
  const source = new BufferSource(file);
  return readXenParams(source, parseElf(source));
}

describe('notes', () => {
  const others = Buffer.concat([
    makeNote(3, Buffer.alloc(20, 7), 'GNU'),
    makeNotes({ VIRT_BASE: 5 }),
    makeNote(0x55, 'what later Xens add'),
    makeNotes({ GUEST_OS: 'linux' }),
    Buffer.alloc(12),
    makeNote(3, 'Xen is not my name', 'Xenon'),
  ]);

  it('are found among others', () => {
    expect(parseNotes(others).map(({ name }) => name)).toEqual(['VIRT_BASE', '85', 'GUEST_OS']);
  });

  it.each([1, 2, 4, 8])('may be numbers of %i bytes', (size) => {
    const desc = Buffer.alloc(size, 0x81);
    expect(numericNote(parseNotes(makeNote(3, desc))[0]!)).toBe(BigInt(`0x${'81'.repeat(size)}`));
  });

  it.each([0, 3, 5, 16])('are no numbers of %i bytes', (size) => {
    expect(errorOf(() => read(makeKernel({ VIRT_BASE: Buffer.alloc(size) }))).message).toContain('VIRT_BASE');
  });

  it.each([
    { name: 'a name of 4 GiB', bytes: [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0] },
    { name: 'a value of 4 GiB', bytes: [4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff] },
    { name: 'a value one byte too long', bytes: [4, 0, 0, 0, 5, 0, 0, 0] },
  ])('with $name are damaged', ({ bytes }) => {
    const notes = makeNotes({ VIRT_BASE: 5 });
    notes.set(bytes, 0);
    expect(errorOf(() => parseNotes(notes)).code).toBe('EIMAGE_DAMAGED');
  });

  it('are limited in number and in length', () => {
    expect(errorOf(() => parseNotes(Buffer.alloc(12 * 1025))).message).toContain('1024');
    expect(errorOf(() => read(makeKernel({ GUEST_OS: 'x'.repeat(5000) }))).message).toContain('5000 bytes');
  });

  it('say everything that Linux says', () => {
    const params = read(
      makeKernel({
        ...LINUX_NOTES,
        INIT_P2M: 0x8000000000n,
        MOD_START_PFN: 1,
        SUPPORTED_FEATURES: 0x8801,
        HV_START_LOW: LINUX_BASE,
        SUSPEND_CANCEL: 1,
        PAE_MODE: 'yes',
        L1_MFN_VALID: Buffer.alloc(16, 1),
        HYPERCALL_PAGE: LINUX_BASE + 0x101000n,
        BSD_SYMTAB: 'yes',
        PHYS32_ENTRY: 0x1000,
      }),
    );
    expect(params).toMatchObject({
      origin: 'notes',
      guestOs: 'linux',
      guestVersion: '2.6',
      xenVersion: 'xen-3.0',
      loader: 'generic',
      paeMode: 'yes',
      virtBase: LINUX_BASE,
      virtEntry: LINUX_BASE + 0x100000n,
      paddrOffset: 0n,
      hypercallPage: LINUX_BASE + 0x101000n,
      initP2m: 0x8000000000n,
      hvStartLow: LINUX_BASE,
      phys32Entry: 0x1000n,
      modStartPfn: true,
      suspendCancel: true,
      bsdSymtab: true,
      features: { supported: 0x8811, required: 1, unknown: [] },
    });
    expect(params!.said).toContainEqual({
      name: 'L1_MFN_VALID',
      value: '0x101010101010101=0x101010101010101',
    });
  });

  it('may be in sections only, and a string may lack its NUL', () => {
    const notes = Buffer.concat([
      makeNotes({ GUEST_OS: 'linux' }),
      makeNote(10, Buffer.from('dom0|!writable_page_tables')),
    ]);
    const file = makeElf({
      segments: [{ paddr: 0n, data: DATA }],
      sections: [{ name: '.notes', type: 7, data: notes }],
    });
    expect(read(file)).toMatchObject({
      origin: 'notes',
      guestOs: 'linux',
      features: { supported: 0x801, required: 1 },
    });
  });

  it('in segments are preferred to sections, and notes to __xen_guest', () => {
    const sections = [
      { name: '.notes', type: 7, data: makeNotes({ GUEST_OS: 'section' }) },
      { name: '__xen_guest', type: 1, data: Buffer.from('GUEST_OS=legacy') },
    ];
    const load = { paddr: 0n, data: DATA };
    const note = { type: 4, paddr: 0n, data: makeNotes({ GUEST_OS: 'segment' }) };
    expect(read(makeElf({ segments: [load, note], sections }))!.guestOs).toBe('segment');
    expect(read(makeElf({ segments: [load], sections }))!.guestOs).toBe('section');
    expect(read(makeElf({ segments: [load], sections: sections.slice(1) }))!.guestOs).toBe('legacy');
    expect(read(makeElf({ segments: [load] }))).toBeUndefined();
  });

  it.each<[string, NoteValue, boolean]>([
    ['MOD_START_PFN', 0, false],
    ['MOD_START_PFN', 1n, true],
  ])('%s %s', (name, value, expected) => {
    expect(read(makeKernel({ [name]: value }))!.modStartPfn).toBe(expected);
  });
});

describe('__xen_guest', () => {
  it('says what 2.6.18-xen says', () => {
    const text =
      'GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,ELF_PADDR_OFFSET=0xffffffff80000000,' +
      'VIRT_ENTRY=0xffffffff80200000,HYPERCALL_PAGE=0x202,FEATURES=writable_page_tables|writable_descriptor_tables' +
      '|auto_translated_physmap|supervisor_mode_kernel,PAE=yes[extended-cr3],LOADER=generic';
    expect(parseXenGuest(text)).toMatchObject({
      origin: '__xen_guest',
      guestOs: 'linux',
      guestVersion: '2.6',
      xenVersion: 'xen-3.0',
      loader: 'generic',
      paeMode: 'yes[extended-cr3]',
      virtBase: LINUX_BASE,
      virtEntry: LINUX_BASE + 0x200000n,
      paddrOffset: LINUX_BASE,
      hypercallPage: LINUX_BASE + 0x202000n,
      features: { supported: 0b1111, required: 0, unknown: [] },
    });
  });

  it.each([
    { text: '', expected: { said: [] } },
    { text: ',,=,', expected: { said: [] } },
    { text: 'BSD_SYMTAB', expected: { bsdSymtab: true } },
    { text: 'HYPERCALL_PAGE=0x2,VIRT_BASE=0x1000', expected: { hypercallPage: 0x3000n } },
    { text: 'HYPERCALL_PAGE=0xffffffffffffffff,VIRT_BASE=0x2000', expected: { hypercallPage: 0x1000n } },
    { text: 'GUEST_OS=a=b', expected: { guestOs: 'a=b' } },
    {
      text: 'FEATURES=!nonsense|nonsense',
      expected: { features: { supported: 0, required: 0, unknown: ['nonsense'] } },
    },
    { text: 'constructor=1,__proto__=2,toString=3', expected: { guestOs: '', said: [{}, {}, {}] } },
  ])("'$text'", ({ text, expected }) => {
    expect(parseXenGuest(text)).toMatchObject(expected);
  });

  it('of any size is read no further than its limit', () => {
    const data = Buffer.alloc(2 ** 20, 'A');
    const file = makeElf({
      segments: [{ paddr: 0n, data: DATA }],
      sections: [{ name: '__xen_guest', type: 1, data }],
    });
    expect(errorOf(() => read(file)).code).toBe('EIMAGE_DAMAGED');
  });
});

describe('strtoull', () => {
  it.each([
    ['0', 0n],
    ['017', 15n],
    ['08', 0n],
    ['12x', 12n],
    ['0xFFfg', 0xfffn],
    ['  +5', 5n],
    ['0x', 0n],
    ['xyz', 0n],
    ['', 0n],
    ['-1', 0n],
    [`0x${'f'.repeat(20)}`, 0xffffffffffffffffn],
  ])("'%s' is %s", (text, value) => {
    expect(strtoull(text)).toBe(value);
  });
});
