/** What a kernel says about itself, in ELF notes or in the __xen_guest section of kernels from before the notes. */
import { MAX_ELF_NOTE_STRING_BYTES } from '../../base/limits.js';
import {
  XEN_ELFNOTE_BSD_SYMTAB,
  XEN_ELFNOTE_ENTRY,
  XEN_ELFNOTE_FEATURES,
  XEN_ELFNOTE_GUEST_OS,
  XEN_ELFNOTE_GUEST_VERSION,
  XEN_ELFNOTE_HV_START_LOW,
  XEN_ELFNOTE_HYPERCALL_PAGE,
  XEN_ELFNOTE_INIT_P2M,
  XEN_ELFNOTE_L1_MFN_VALID,
  XEN_ELFNOTE_LOADER,
  XEN_ELFNOTE_MOD_START_PFN,
  XEN_ELFNOTE_PADDR_OFFSET,
  XEN_ELFNOTE_PAE_MODE,
  XEN_ELFNOTE_PHYS32_ENTRY,
  XEN_ELFNOTE_SUPPORTED_FEATURES,
  XEN_ELFNOTE_SUSPEND_CANCEL,
  XEN_ELFNOTE_VIRT_BASE,
  XEN_ELFNOTE_XEN_VERSION,
} from '../abi/elfnote.js';
import type { Elf } from './elf.js';
import { boundedString, numericNote, readXenNotes, stringNote, type XenNote } from './elf-notes.js';
import { addFeatureString, type Features, noFeatures } from './features.js';
import { type ImageSource, readBytes } from './image-source.js';

export interface XenParams {
  origin: 'notes' | '__xen_guest';
  guestOs: string;
  guestVersion: string;
  /** The interface, `xen-3.0`. */
  xenVersion: string;
  loader: string;
  paeMode: string;
  features: Features;
  bsdSymtab: boolean;
  suspendCancel: boolean;
  /** The initrd may stay unmapped: start_info.mod_start is its pfn. */
  modStartPfn: boolean;
  virtBase?: bigint;
  virtEntry?: bigint;
  paddrOffset?: bigint;
  hypercallPage?: bigint;
  /** Where the kernel wants its p2m list mapped. */
  initP2m?: bigint;
  hvStartLow?: bigint;
  phys32Entry?: bigint;
  /** Everything as found, in order, for people. */
  said: Array<{ name: string; value: string }>;
}

function blank(origin: XenParams['origin']): XenParams {
  return {
    origin,
    guestOs: '',
    guestVersion: '',
    xenVersion: '',
    loader: '',
    paeMode: '',
    features: noFeatures(),
    bsdSymtab: false,
    suspendCancel: false,
    modStartPfn: false,
    said: [],
  };
}

/** Undefined for a kernel that says nothing about Xen. @throws XennerError EIMAGE_DAMAGED */
export function readXenParams(source: ImageSource, elf: Elf): XenParams | undefined {
  const notes = readXenNotes(source, elf);
  if (notes.length > 0) {
    const params = blank('notes');
    for (const note of notes) addNote(params, note);
    return params;
  }
  const section = elf.sections().find(({ name }) => name === '__xen_guest');
  if (section === undefined) return undefined;
  const length = Math.min(section.length, MAX_ELF_NOTE_STRING_BYTES + 1);
  return parseXenGuest(boundedString(readBytes(source, section.offset, length), 'section __xen_guest'));
}

type NumericKey =
  | 'virtBase'
  | 'virtEntry'
  | 'paddrOffset'
  | 'hypercallPage'
  | 'initP2m'
  | 'hvStartLow'
  | 'phys32Entry';
type StringKey = 'guestOs' | 'guestVersion' | 'xenVersion' | 'loader' | 'paeMode';

const NUMERIC_NOTES: Readonly<Record<number, NumericKey>> = {
  [XEN_ELFNOTE_VIRT_BASE]: 'virtBase',
  [XEN_ELFNOTE_ENTRY]: 'virtEntry',
  [XEN_ELFNOTE_PADDR_OFFSET]: 'paddrOffset',
  [XEN_ELFNOTE_HYPERCALL_PAGE]: 'hypercallPage',
  [XEN_ELFNOTE_INIT_P2M]: 'initP2m',
  [XEN_ELFNOTE_HV_START_LOW]: 'hvStartLow',
  [XEN_ELFNOTE_PHYS32_ENTRY]: 'phys32Entry',
};

const STRING_NOTES: Readonly<Record<number, StringKey>> = {
  [XEN_ELFNOTE_GUEST_OS]: 'guestOs',
  [XEN_ELFNOTE_GUEST_VERSION]: 'guestVersion',
  [XEN_ELFNOTE_XEN_VERSION]: 'xenVersion',
  [XEN_ELFNOTE_LOADER]: 'loader',
  [XEN_ELFNOTE_PAE_MODE]: 'paeMode',
};

function addNote(params: XenParams, note: XenNote): void {
  const say = (value: string): number => params.said.push({ name: note.name, value });
  const numeric = NUMERIC_NOTES[note.type];
  const string = STRING_NOTES[note.type];
  if (numeric !== undefined) {
    params[numeric] = numericNote(note);
    say(hex(params[numeric]));
  } else if (string !== undefined) {
    params[string] = stringNote(note);
    say(params[string]);
  } else {
    say(addOther(params, note));
  }
}

/** @returns the note's value for people */
function addOther(params: XenParams, note: XenNote): string {
  switch (note.type) {
    case XEN_ELFNOTE_FEATURES:
      addFeatureString(params.features, stringNote(note));
      return stringNote(note);
    case XEN_ELFNOTE_SUPPORTED_FEATURES:
      params.features.supported |= Number(numericNote(note) & 0xffffffffn);
      return hex(numericNote(note));
    case XEN_ELFNOTE_BSD_SYMTAB:
      params.bsdSymtab = stringNote(note) === 'yes';
      return stringNote(note);
    case XEN_ELFNOTE_SUSPEND_CANCEL:
      params.suspendCancel = numericNote(note) !== 0n;
      return hex(numericNote(note));
    case XEN_ELFNOTE_MOD_START_PFN:
      params.modStartPfn = numericNote(note) !== 0n;
      return hex(numericNote(note));
    case XEN_ELFNOTE_L1_MFN_VALID:
      return l1MfnValid(note.desc);
    default:
      return `${note.desc.length} bytes`;
  }
}

/** Pairs of mask and value: an L1 entry whose masked bits have the value holds an MFN. */
function l1MfnValid(desc: Buffer): string {
  const pairs: string[] = [];
  for (let at = 0; at + 16 <= desc.length && pairs.length < 4; at += 16) {
    pairs.push(`${hex(desc.readBigUInt64LE(at))}=${hex(desc.readBigUInt64LE(at + 8))}`);
  }
  return pairs.join(' ');
}

/** libelf-dominfo.c, elf_xen_parse_guest_info: `NAME=value,NAME=value`. */
export function parseXenGuest(text: string): XenParams {
  const params = blank('__xen_guest');
  let hypercallPfn: bigint | undefined;
  for (const item of text.split(',')) {
    const equals = item.indexOf('=');
    const name = equals < 0 ? item : item.slice(0, equals);
    const value = equals < 0 ? '' : item.slice(equals + 1);
    if (name === '') continue;
    params.said.push({ name, value });
    if (name === 'HYPERCALL_PAGE') hypercallPfn = strtoull(value);
    else addGuestItem(params, name, value);
  }
  // A page number above the base; the base may come later in the string.
  if (hypercallPfn !== undefined) {
    params.hypercallPage = BigInt.asUintN(64, (hypercallPfn << 12n) + (params.virtBase ?? 0n));
  }
  return params;
}

const GUEST_NUMBERS: Readonly<Record<string, NumericKey>> = {
  VIRT_BASE: 'virtBase',
  VIRT_ENTRY: 'virtEntry',
  ELF_PADDR_OFFSET: 'paddrOffset',
};

const GUEST_STRINGS: Readonly<Record<string, StringKey>> = {
  GUEST_OS: 'guestOs',
  GUEST_VER: 'guestVersion',
  XEN_VER: 'xenVersion',
  LOADER: 'loader',
  PAE: 'paeMode',
};

function addGuestItem(params: XenParams, name: string, value: string): void {
  const numeric = Object.hasOwn(GUEST_NUMBERS, name) ? GUEST_NUMBERS[name] : undefined;
  const string = Object.hasOwn(GUEST_STRINGS, name) ? GUEST_STRINGS[name] : undefined;
  if (numeric !== undefined) params[numeric] = strtoull(value);
  else if (string !== undefined) params[string] = value;
  else if (name === 'BSD_SYMTAB') params.bsdSymtab = true;
  else if (name === 'FEATURES') addFeatureString(params.features, value);
}

/** strtoull(text, NULL, 0): hexadecimal, octal or decimal by its prefix, up to the first character that fits none. */
export function strtoull(text: string): bigint {
  const match = /^\s*\+?(?:0x([0-9a-f]+)|(0[0-7]*)|([1-9][0-9]*))/i.exec(text);
  if (match === null) return 0n;
  const [, hexadecimal, octal, decimal] = match;
  const value = BigInt(
    hexadecimal !== undefined ? `0x${hexadecimal}` : octal !== undefined ? `0o${octal}` : decimal!,
  );
  return value > 0xffffffffffffffffn ? 0xffffffffffffffffn : value;
}

export function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
