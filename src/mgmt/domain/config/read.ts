/** Reads a domain's configuration, whatever wrote it: what the file is, its content tells. */
import { resolve } from 'node:path';
import { XennerError } from '../../../base/errors.js';
import { MAX_CONFIG_BYTES } from '../../../base/limits.js';
import { type FileSource, openFile, readBytes } from '../../../xenner/builder/image-source.js';
import { parseXml } from '../../xml/tree.js';
import type { DomainDefinition } from '../definition.js';
import { type Draft, finish, newDraft } from './draft.js';
import { readLibxl } from './json.js';
import { Notes } from './notes.js';
import { evaluateProgram, type Override, overrideOptions, parseOverride } from './xl/program.js';
import { readOptions, tellUnread } from './xl/read.js';
import { readLibvirt } from './xml/libvirt.js';
import { readOva } from './xva/ova.js';

export type ConfigFormat = 'xl' | 'libvirt' | 'ova' | 'libxl-json';

export interface ReadOptions {
  /** Relative paths of the file are of it, as xl resolves them: not of the file's own folder. Default: the working directory. */
  readonly folder?: string;
  /** `key=value`, as behind `xl create FILE`: they take the place of what the file says. */
  readonly overrides?: readonly string[];
  /** The archive that an ova.xml is from. */
  readonly archive?: string;
}

export interface ReadConfig {
  readonly format: ConfigFormat;
  readonly definition: DomainDefinition;
}

const TAR_BLOCK = 512;
const OVA_MEMBER = Buffer.from('ova.xml\0');
const GZIP = Buffer.from([0x1f, 0x8b]);

/** @throws XennerError EIMAGE_FILE, ECONFIG_FORMAT, ECONFIG_XML, ECONFIG_OVERRIDE; what is wrong with options is in the notes */
export function readConfigFile(path: string, options: ReadOptions = {}): ReadConfig {
  const file = openFile(path, 'configuration', Number.MAX_SAFE_INTEGER);
  try {
    const head = readBytes(file, 0, Math.min(file.size, TAR_BLOCK));
    if (head.subarray(0, OVA_MEMBER.length).equals(OVA_MEMBER)) {
      return readConfig(firstMember(file, head), { ...options, archive: resolve(path) });
    }
    return readConfig(readBytes(file, 0, bounded(file.size)), options);
  } finally {
    file.close();
  }
}

/** XenServer writes ova.xml first into its archives. */
function firstMember(file: FileSource, header: Buffer): Buffer {
  const size = Number.parseInt(header.toString('latin1', 124, 136), 8);
  if (!Number.isSafeInteger(size)) throw format('the archive is damaged: ova.xml has no size');
  return readBytes(file, TAR_BLOCK, bounded(size));
}

function bounded(size: number): number {
  if (size > MAX_CONFIG_BYTES)
    throw format(`it has ${size} bytes, more than any configuration (${MAX_CONFIG_BYTES})`);
  return size;
}

function format(what: string): XennerError {
  return new XennerError('ECONFIG_FORMAT', `this is no configuration of a domain: ${what}`);
}

export function readConfig(bytes: Uint8Array, options: ReadOptions = {}): ReadConfig {
  bounded(bytes.length);
  const overrides = (options.overrides ?? []).map(overrideOf);
  const folder = resolve(options.folder ?? '.');
  const source = decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  const first = source.trimStart()[0];
  const notes = new Notes();
  if (first === '<' || first === '{' || first === '[') {
    const { format: kind, draft } =
      first === '<' ? readXml(source, notes, folder, options) : readJson(source, notes);
    for (const { key, op } of overrides) if (op === '=') notes.forget(key);
    const changes = { options: overrideOptions(overrides, notes), draft, notes, folder };
    readOptions(changes);
    tellUnread(changes);
    return { format: kind, definition: finish(draft, notes) };
  }
  const reading = { options: evaluateProgram(source, overrides, notes), draft: newDraft(), notes, folder };
  readOptions(reading);
  tellUnread(reading);
  return { format: 'xl', definition: finish(reading.draft, notes) };
}

function overrideOf(argument: string): Override {
  const override = parseOverride(argument);
  if (override !== undefined) return override;
  throw new XennerError('ECONFIG_OVERRIDE', `${JSON.stringify(argument)} is not of the form key=value`);
}

/** Old files may be in whatever their author's terminal had: only comments and names suffer. */
function decode(bytes: Buffer): string {
  if (bytes.subarray(0, GZIP.length).equals(GZIP)) throw format('it is compressed: unpack it first');
  if (bytes.includes(0)) throw format('it is no text');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return bytes.toString('latin1');
  }
}

interface Read {
  readonly format: ConfigFormat;
  readonly draft: Draft;
}

function readXml(source: string, notes: Notes, folder: string, { archive }: ReadOptions): Read {
  const root = parseXml(source.trimStart());
  if (root.name === 'domain') return { format: 'libvirt', draft: readLibvirt(root, notes, folder) };
  if (root.name === 'value') return { format: 'ova', draft: readOva(root, notes, archive) };
  throw format(`it begins with <${root.name}>, neither libvirt's <domain> nor XenServer's <value>`);
}

function readJson(source: string, notes: Notes): Read {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (error) {
    throw new XennerError('ECONFIG_FORMAT', `this is no JSON: ${(error as Error).message}`);
  }
  return { format: 'libxl-json', draft: readLibxl(value, notes) };
}
