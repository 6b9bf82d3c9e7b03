/** extlinux, syslinux, isolinux: a keyword and its value on each line (syslinux.cfg). */
import { MAX_BOOT_CONFIG_DEPTH, MAX_BOOT_ENTRIES } from '../../../base/limits.js';
import { overLimit } from '../errors.js';
import { type BootConfig, type BootDisk, type BootEntry, type BootFile, parseCount } from './boot-config.js';

/** TIMEOUT counts tenths of seconds. */
const MAX_TIMEOUT_TENTHS = 864_000;
const MAX_INCLUDED_FILES = 64;

interface Draft {
  readonly name: string;
  title: string | undefined;
  kernel: string | undefined;
  args: string | undefined;
  initrd: string | undefined;
  /** Where relative names are looked up. */
  readonly folder: string;
}

interface State {
  readonly drafts: Draft[];
  default: string | undefined;
  menuDefault: string | undefined;
  args: string;
  timeoutS: number | undefined;
  files: number;
}

export async function parseSyslinux(text: string, path: string, disk: BootDisk): Promise<BootConfig> {
  const state: State = {
    drafts: [],
    default: undefined,
    menuDefault: undefined,
    args: '',
    timeoutS: undefined,
    files: 0,
  };
  await read(state, text, path, disk, 0);
  const entries = state.drafts.map((draft) => finish(draft, state.args, disk));
  const wanted = state.menuDefault ?? state.default?.split(/\s+/)[0];
  const index = state.drafts.findIndex(({ name }) => name === wanted);
  return {
    loader: 'extlinux',
    path,
    volume: disk.volume,
    entries,
    preferred: index < 0 ? [] : [index],
    timeoutS: state.timeoutS,
    notes: [],
  };
}

async function read(state: State, text: string, path: string, disk: BootDisk, depth: number): Promise<void> {
  if (depth > MAX_BOOT_CONFIG_DEPTH || ++state.files > MAX_INCLUDED_FILES)
    throw overLimit('boot loader configurations in the guest include one another');
  const folder = path.replace(/[^/]*$/, '');
  for (const line of text.split('\n')) {
    const [keyword, value] = split(line);
    if (keyword === 'include' || (keyword === 'menu' && /^include\s/i.test(value))) {
      const name = keyword === 'include' ? value : split(value)[1];
      const file = place(name.split(/\s+/)[0] ?? '', folder, disk);
      const included = await disk.readText(file);
      if (included !== undefined) await read(state, included, file.path, disk, depth + 1);
    } else {
      apply(state, keyword, value, folder);
    }
  }
}

function apply(state: State, keyword: string, value: string, folder: string): void {
  const draft = state.drafts.at(-1);
  switch (keyword) {
    case 'label':
      if (state.drafts.length === MAX_BOOT_ENTRIES)
        throw overLimit('a boot loader configuration has too many entries');
      state.drafts.push({
        name: value,
        title: undefined,
        kernel: undefined,
        args: undefined,
        initrd: undefined,
        folder,
      });
      break;
    case 'default':
      state.default = value;
      break;
    case 'ontimeout':
      state.menuDefault ??= value.split(/\s+/)[0];
      break;
    case 'timeout': {
      const tenths = parseCount(value, MAX_TIMEOUT_TENTHS);
      // 0 is for ever.
      state.timeoutS = tenths === undefined || tenths === 0 ? undefined : Math.ceil(tenths / 10);
      break;
    }
    case 'append':
      if (draft) draft.args = value;
      else state.args = value;
      break;
    case 'kernel':
    case 'linux':
      if (draft) draft.kernel = value;
      break;
    case 'initrd':
      if (draft) draft.initrd = value;
      break;
    case 'menu':
      menuCommand(state, draft, value);
      break;
  }
}

function menuCommand(state: State, draft: Draft | undefined, value: string): void {
  const [keyword, rest] = split(value);
  // `^` marks the key that chooses the entry.
  if (keyword === 'label' && draft) draft.title = rest.replace('^', '');
  if (keyword === 'default' && draft) state.menuDefault = draft.name;
}

function split(line: string): [keyword: string, value: string] {
  const trimmed = line.trim();
  const [keyword = ''] = /^\S+/.exec(trimmed) ?? [];
  return [keyword.toLowerCase(), trimmed.slice(keyword.length).trim()];
}

/** `append -` is for none, also of the global ones; `initrd=` among the arguments is a file, not an argument. */
function finish(draft: Draft, globalArgs: string, disk: BootDisk): BootEntry {
  const words = (draft.args ?? globalArgs).split(/\s+/).filter((word) => word !== '' && word !== '-');
  const title = draft.title ?? draft.name;
  const [program = '', ...kernelArgs] = (draft.kernel ?? '').split(/\s+/);
  if (program === '' || /\.(c32|com|cbt|bin|bs|0)$/i.test(program)) {
    return (
      mbootEntry(title, program, words, draft.folder, disk) ?? { title, menus: [], ramdisks: [], args: '' }
    );
  }
  const inArgs = words.filter((word) => word.startsWith('initrd=')).map((word) => word.slice(7));
  const ramdisks = (draft.initrd ?? inArgs.at(-1) ?? '').split(',').filter((name) => name !== '');
  const args = [...kernelArgs, ...words.filter((word) => !word.startsWith('initrd='))];
  return {
    title,
    menus: [],
    kernel: place(program, draft.folder, disk),
    ramdisks: ramdisks.map((name) => place(name.trim(), draft.folder, disk)),
    args: args.join(' '),
  };
}

/** Xen by mboot.c32: `APPEND xen.gz ... --- vmlinuz ... --- initrd`. */
function mbootEntry(
  title: string,
  program: string,
  words: string[],
  folder: string,
  disk: BootDisk,
): BootEntry | undefined {
  if (!/(^|\/)mboot\.c32$/i.test(program)) return undefined;
  const parts: string[][] = [[]];
  for (const word of words) {
    if (word === '---') parts.push([]);
    else parts.at(-1)!.push(word);
  }
  const [, [kernel, ...args] = [], ...others] = parts;
  if (kernel === undefined) return undefined;
  const ramdisks = others.flatMap(([file]) => (file === undefined ? [] : [place(file, folder, disk)]));
  return { title, menus: [], kernel: place(kernel, folder, disk), ramdisks, args: args.join(' ') };
}

function place(name: string, folder: string, disk: BootDisk): BootFile {
  return { volume: disk.volume, path: name.startsWith('/') ? name : `${folder}${name}` };
}
