/** Entries in files of their own, one a kernel: the Boot Loader Specification as Fedora and RHEL 8 and later use it (`blscfg`). */
import { MAX_BOOT_ENTRIES } from '../../../base/limits.js';
import { overLimit } from '../errors.js';
import type { BootDisk, BootEntry, BootFile } from './boot-config.js';

export interface BlsEntry {
  readonly title: string;
  /** The file's name without `.conf`. */
  readonly id: string;
  readonly boots: BootEntry;
}

/** The variables that options may name: `$kernelopts` is in grubenv. */
export interface Variables {
  get(name: string): string;
}

const FOLDERS = ['/loader/entries', '/boot/loader/entries'];

/** All entries, the newest first. None where there is no such folder. */
export async function blsEntries(disk: BootDisk, variables: Variables): Promise<BlsEntry[]> {
  for (const path of [variables.get('blsdir'), ...FOLDERS]) {
    const folder: BootFile = { volume: disk.findDevice(variables.get('root')), path };
    if (path === '' || (await disk.kindOf(folder)) !== 'directory') continue;
    const names = (await disk.list(folder)).filter((name) => name.endsWith('.conf'));
    if (names.length > MAX_BOOT_ENTRIES) throw overLimit(`${path} in the guest has too many entries`);
    names.sort((a, b) => compareVersions(b.slice(0, -5), a.slice(0, -5)));
    const entries: BlsEntry[] = [];
    for (const name of names) {
      const text = await disk.readText({ ...folder, path: `${path}/${name}` });
      if (text !== undefined) entries.push(parseBls(text, name.slice(0, -5), folder.volume, variables));
    }
    return entries;
  }
  return [];
}

export function parseBls(
  text: string,
  id: string,
  volume: string | undefined,
  variables: Variables,
): BlsEntry {
  const fields = new Map<string, string[]>();
  for (const line of text.split('\n').map((each) => each.trim())) {
    const [key] = /^[a-z-]+(?=\s)/.exec(line) ?? [];
    if (key === undefined) continue;
    const value = line.slice(key.length).trim();
    fields.set(key, [...(fields.get(key) ?? []).slice(-63), value]);
  }
  const expand = (value: string): string =>
    value.replace(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced, plain) => variables.get(braced ?? plain)).trim();
  const of = (key: string): string[] => (fields.get(key) ?? []).map(expand);
  const title = of('title')[0] ?? id;
  const [kernel] = of('linux');
  const ramdisks = of('initrd')
    .flatMap((value) => value.split(/\s+/))
    .filter((path) => path !== '');
  const boots: BootEntry = {
    title,
    menus: [],
    ...(kernel !== undefined && { kernel: { volume, path: kernel } }),
    ramdisks: ramdisks.map((path) => ({ volume, path })),
    args: of('options').join(' '),
  };
  return { title, id, boots };
}

/** As rpm compares versions: runs of digits as numbers, and after letters; `~` before everything. */
export function compareVersions(a: string, b: string): number {
  const runs = (text: string) => text.match(/\d+|[A-Za-z]+|~/g) ?? [];
  const [first, second] = [runs(a), runs(b)];
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    const order = compareRuns(first[i], second[i]);
    if (order !== 0) return order;
  }
  return 0;
}

function compareRuns(a: string | undefined, b: string | undefined): number {
  if (a === b) return 0;
  if (a === '~' || b === '~') return a === '~' ? -1 : 1;
  if (a === undefined || b === undefined) return a === undefined ? -1 : 1;
  const [aIsNumber, bIsNumber] = [/^\d/.test(a), /^\d/.test(b)];
  if (aIsNumber !== bIsNumber) return aIsNumber ? 1 : -1;
  if (!aIsNumber) return a < b ? -1 : 1;
  const [x, y] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
  if (x.length !== y.length) return x.length - y.length;
  return x < y ? -1 : x > y ? 1 : 0;
}
