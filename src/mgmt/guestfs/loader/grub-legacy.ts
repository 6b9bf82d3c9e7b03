/** GRUB 0.9x: menu.lst and grub.conf. A line is a command; each `title` begins an entry. */
import { MAX_BOOT_ENTRIES } from '../../../base/limits.js';
import { overLimit } from '../errors.js';
import { type BootConfig, type BootDisk, type BootEntry, type BootFile, parseCount } from './boot-config.js';

interface Draft {
  title: string;
  root: string | undefined;
  kernel: { file: BootFile; args: string } | undefined;
  initrd: BootFile[];
  modules: Array<{ file: BootFile; args: string }>;
}

interface Globals {
  default: string;
  fallback: string[];
  timeoutS: number | undefined;
}

const MAX_TIMEOUT_S = 86_400;

export async function parseGrubLegacy(text: string, path: string, disk: BootDisk): Promise<BootConfig> {
  const drafts: Draft[] = [];
  const globals: Globals = { default: '0', fallback: [], timeoutS: undefined };
  for (const line of text.split('\n')) {
    const trimmed = line.trim();
    const [head = '', command] = /^([^\s=#]+)(?:\s*=\s*|\s+|$)/.exec(trimmed) ?? [];
    if (command === undefined) continue;
    const rest = trimmed.slice(head.length);
    if (command === 'title') {
      if (drafts.length === MAX_BOOT_ENTRIES) throw overLimit(`${path} in the guest has too many entries`);
      drafts.push({ title: rest, root: undefined, kernel: undefined, initrd: [], modules: [] });
    } else if (drafts.length > 0) {
      entryCommand(drafts.at(-1)!, command, rest, disk);
    } else {
      globalCommand(globals, command, rest);
    }
  }
  const entries = drafts.map(finish);
  const chosen = globals.default === 'saved' ? await savedDefault(path, disk) : globals.default;
  const preferred = [chosen, ...globals.fallback]
    .map((text) => parseCount(text, entries.length - 1))
    .filter((index) => index !== undefined);
  return {
    loader: 'grub',
    path,
    volume: disk.volume,
    entries,
    preferred,
    timeoutS: globals.timeoutS,
    notes: [],
  };
}

function globalCommand(globals: Globals, command: string, rest: string): void {
  if (command === 'default') globals.default = rest;
  else if (command === 'fallback') globals.fallback = rest.split(/\s+/);
  else if (command === 'timeout') globals.timeoutS = parseCount(rest, MAX_TIMEOUT_S);
}

/** `savedefault` writes the number into a file beside the configuration, in its first line. */
async function savedDefault(path: string, disk: BootDisk): Promise<string> {
  const file = { volume: disk.volume, path: path.replace(/[^/]*$/, 'default') };
  return (await disk.readText(file))?.split('\n')[0]?.trim() ?? '0';
}

function entryCommand(draft: Draft, command: string, rest: string, disk: BootDisk): void {
  const words = rest.split(/\s+/);
  switch (command) {
    case 'root':
    case 'rootnoverify':
      draft.root = device(words[0] ?? '', disk);
      break;
    case 'uuid':
      // Ubuntu's: the root by the UUID of its file system; such a configuration lies on it.
      draft.root = undefined;
      break;
    case 'kernel': {
      // Options of the command itself come before the file.
      while (words[0]?.startsWith('--')) words.shift();
      const [file = '', ...args] = words;
      draft.kernel = { file: place(file, draft, disk), args: args.join(' ') };
      break;
    }
    case 'initrd':
      draft.initrd = words.filter((word) => word !== '').map((word) => place(word, draft, disk));
      break;
    case 'module': {
      const [file = '', ...args] = words;
      draft.modules.push({ file: place(file, draft, disk), args: args.join(' ') });
      break;
    }
  }
}

/** `(hd0,0)`: the first partition, counted from 0. */
function device(name: string, disk: BootDisk): string | undefined {
  const [, hd, partition] = /^\((hd\d+)(?:,(\d{1,3}))?(?:,\w)?\)/.exec(name) ?? [];
  if (hd === undefined) return undefined;
  return disk.findDevice(partition === undefined ? hd : `${hd},${Number(partition) + 1}`);
}

function place(name: string, draft: Draft, disk: BootDisk): BootFile {
  const path = name.replace(/^\([^)]*\)/, '');
  return { volume: path === name ? draft.root : device(name, disk), path };
}

/** An entry for Xen itself has the kernel as its first module, which is what a guest boots, and the ramdisk as its second. */
function finish({ title, kernel, initrd, modules }: Draft): BootEntry {
  const [first, ...others] = modules;
  if (first !== undefined)
    return {
      title,
      menus: [],
      kernel: first.file,
      args: first.args,
      ramdisks: others.map(({ file }) => file),
    };
  if (kernel === undefined) return { title, menus: [], ramdisks: [], args: '' };
  return { title, menus: [], kernel: kernel.file, args: kernel.args, ramdisks: initrd };
}
