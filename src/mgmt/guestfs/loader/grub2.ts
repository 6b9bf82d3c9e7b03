/** GRUB 2: grub.cfg, run as far as it decides what is booted. */
import { MAX_BOOT_CONFIG_DEPTH, MAX_BOOT_ENTRIES } from '../../../base/limits.js';
import { overLimit } from '../errors.js';
import { blsEntries } from './bls.js';
import { type BootConfig, type BootDisk, type BootEntry, type BootFile, parseCount } from './boot-config.js';
import { evaluate } from './grub-script/conditions.js';
import { newBudget, Scope } from './grub-script/interpreter.js';
import { parseScript, type Script } from './grub-script/parser.js';
import { chooseEntries, type MenuItem } from './grub2-default.js';
import { searchArguments } from './grub2-search.js';

/** As GRUB 2.06 has them, and a platform as pvgrub names itself. */
const FEATURES =
  'chainloader_bpb ntldr platform_search_hint default_font_path all_video_module menuentry_id menuentry_options 200_final nativedisk_cmd timeout_style';
/** Commands that succeed without a part in what is booted. */
const NO_MATTER = new Set(
  'boot clear echo export insmod play rmmod save_env setparams sleep terminal_input terminal_output true'.split(
    ' ',
  ),
);
const MAX_TEST_WORDS = 256;
const MAX_TIMEOUT_S = 86_400;
const MENU_OPTIONS_WITH_VALUE = new Set(['--class', '--users', '--hotkey', '--source', '--id']);

export async function runGrub2(text: string, path: string, disk: BootDisk): Promise<BootConfig> {
  const folder = path.replace(/\/[^/]*$/, '');
  const scope = new Scope(newBudget());
  const variables = {
    root: disk.volume,
    prefix: `(${disk.volume})${folder}`,
    config_directory: `(${disk.volume})${folder}`,
    config_file: `(${disk.volume})${path}`,
    grub_platform: 'xen',
    grub_cpu: 'x86_64',
  };
  for (const [name, value] of Object.entries(variables)) scope.set(name, value);
  for (const feature of FEATURES.split(' ')) scope.set(`feature_${feature}`, 'y');

  const menu = new Grub2Menu(disk);
  await menu.run(scope, text, path);
  const items = menu.items;
  const entries: BootEntry[] = [];
  for (const item of items) entries.push(await item.entry());
  const timeout = scope.get('timeout');
  return {
    loader: 'grub2',
    path,
    volume: disk.volume,
    entries,
    preferred: chooseEntries(items, [scope.get('default') || '0', ...scope.get('fallback').split(/\s+/)]),
    // Without a timeout the menu waits; `-1` says so.
    timeoutS: parseCount(timeout, MAX_TIMEOUT_S),
    notes: [],
  };
}

interface Item extends MenuItem {
  entry(): Promise<BootEntry>;
}

/** What one entry's commands have loaded so far. */
interface Loaded {
  kernel?: BootFile;
  args: string;
  ramdisks: BootFile[];
  /** Xen itself was loaded: modules follow, of which the first is the kernel. */
  isXen: boolean;
}

class Grub2Menu {
  readonly items: Item[] = [];
  /** Configurations that are being read, one within another. */
  private depth = 0;

  constructor(private readonly disk: BootDisk) {}

  async run(scope: Scope, text: string, path: string): Promise<boolean> {
    if (++this.depth > MAX_BOOT_CONFIG_DEPTH)
      throw overLimit('boot loader configurations in the guest include one another');
    const run = this.runMenu([]);
    const succeeded = await scope.run(parseScript(text, path), run);
    this.depth--;
    return succeeded;
  }

  /** Commands of a configuration, or of a submenu of it. */
  private runMenu(menus: readonly Place[]) {
    let position = 0;
    const run = async (scope: Scope, words: readonly string[], block?: Script): Promise<boolean> => {
      const [name, ...args] = words;
      switch (name) {
        case 'menuentry':
          this.addEntry(scope, args, block ?? [], { menus, position: position++ });
          return true;
        case 'submenu': {
          const { title, id, rest } = menuArguments(args);
          const place = { title, id, position: position++ };
          if (menus.length >= MAX_BOOT_CONFIG_DEPTH)
            throw overLimit('the guest has too many menus in one another');
          await scope.fork([title, ...rest]).run(block ?? [], this.runMenu([...menus, place]));
          return true;
        }
        case 'blscfg':
          for (const entry of await blsEntries(this.disk, scope))
            this.add({ ...entry, menus, position: position++, entry: async () => entry.boots });
          return true;
        case 'source':
        case '.':
        case 'configfile':
          return this.include(scope, args[0] ?? '');
        default:
          return this.common(scope, words);
      }
    };
    return run;
  }

  private async include(scope: Scope, name: string): Promise<boolean> {
    const text = await this.disk.readText(this.file(scope, name));
    return text === undefined ? false : this.run(scope, text, name);
  }

  private add(item: Item): void {
    if (this.items.length === MAX_BOOT_ENTRIES)
      throw overLimit('a boot loader configuration has too many entries');
    this.items.push(item);
  }

  private addEntry(
    scope: Scope,
    args: readonly string[],
    block: Script,
    at: { menus: readonly Place[]; position: number },
  ): void {
    const { title, id, rest } = menuArguments(args);
    const run = async (): Promise<BootEntry> => {
      const loaded: Loaded = { args: '', ramdisks: [], isXen: false };
      const inner = scope.fork([title, ...rest]);
      inner.set('chosen', [...at.menus.map((menu) => menu.title), title].join('>'));
      await inner.run(block, (each, words) => this.load(loaded, each, words));
      const { kernel, args, ramdisks } = loaded;
      const menus = at.menus.map((menu) => menu.title);
      return { title, menus, ...(kernel && { kernel }), args, ramdisks };
    };
    this.add({ title, id, ...at, entry: run });
  }

  /** Commands of an entry. */
  private async load(loaded: Loaded, scope: Scope, words: readonly string[]): Promise<boolean> {
    const [name = '', ...args] = words;
    const files = args.filter((word) => !word.startsWith('--'));
    if (/^(linux|linux16|linuxefi|kernel)$/.test(name)) {
      const [file = '', ...rest] = args;
      Object.assign(loaded, {
        kernel: this.file(scope, file),
        args: rest.join(' '),
        ramdisks: [],
        isXen: false,
      });
    } else if (/^(initrd|initrd16|initrdefi)$/.test(name)) {
      loaded.ramdisks = files.map((file) => this.file(scope, file));
    } else if (/^(multiboot2?|xen_hypervisor)$/.test(name)) {
      loaded.isXen = true;
      delete loaded.kernel;
      loaded.ramdisks = [];
    } else if (/^(module2?|xen_module|xen_linux|xen_initrd)$/.test(name) && loaded.isXen) {
      const at = args.findIndex((word) => !word.startsWith('--'));
      const file = this.file(scope, args[at] ?? '');
      if (loaded.kernel === undefined)
        Object.assign(loaded, { kernel: file, args: args.slice(at + 1).join(' ') });
      else loaded.ramdisks.push(file);
    } else {
      return this.common(scope, words);
    }
    return true;
  }

  /** Commands that are the same everywhere. */
  private async common(scope: Scope, words: readonly string[]): Promise<boolean> {
    const [name = '', ...args] = words;
    switch (name) {
      case 'set': {
        const [assignment = ''] = args;
        const equals = assignment.indexOf('=');
        if (equals > 0) scope.set(assignment.slice(0, equals), assignment.slice(equals + 1));
        return true;
      }
      case 'unset':
        for (const variable of args) scope.unset(variable);
        return true;
      case '[':
        return args.at(-1) === ']' && this.test(scope, args.slice(0, -1));
      case 'test':
        return this.test(scope, args);
      case 'load_env':
        return this.loadEnvironment(scope, args);
      case 'search':
      case 'search.fs_uuid':
      case 'search.fs_label':
      case 'search.file': {
        const wanted = searchArguments(name, args);
        const found = wanted && (await this.disk.search(wanted.by, wanted.what));
        if (wanted && found !== undefined) scope.set(wanted.variable, found);
        return found !== undefined;
      }
      default:
        return NO_MATTER.has(name);
    }
  }

  private async test(scope: Scope, words: readonly string[]): Promise<boolean> {
    if (words.length > MAX_TEST_WORDS) throw overLimit('a condition in the guest has too many words');
    const kind = (path: string) => this.disk.kindOf(this.file(scope, path));
    return evaluate(words, {
      isFile: async (path) => (await kind(path)) === 'file',
      isDirectory: async (path) => (await kind(path)) === 'directory',
      isNotEmpty: async (path) =>
        (await kind(path)) === 'file' && (await this.disk.sizeOf(this.file(scope, path))) > 0,
    });
  }

  /** grubenv: `name=value` lines after a first line that says what it is; filled up with `#`. */
  private async loadEnvironment(scope: Scope, args: readonly string[]): Promise<boolean> {
    const at = args.findIndex((word) => /^(-f|--file)$/.test(word));
    const name =
      args.find((word) => word.startsWith('--file='))?.slice(7) ?? (at < 0 ? undefined : args[at + 1]);
    const wanted = args.filter((word, index) => !word.startsWith('-') && (at < 0 || index !== at + 1));
    const text = await this.disk.readText(this.file(scope, name ?? `${scope.get('prefix')}/grubenv`));
    if (text === undefined || !text.startsWith('# GRUB Environment Block\n')) return false;
    for (const line of text.replace(/\\\n/g, '').split('\n')) {
      const equals = line.indexOf('=');
      if (line.startsWith('#') || equals <= 0) continue;
      const variable = line.slice(0, equals);
      if (wanted.length === 0 || wanted.includes(variable))
        scope.set(variable, line.slice(equals + 1).replace(/\\(.)/g, '$1'));
    }
    return true;
  }

  /** `(device)/path`, or a path on `$root`. */
  private file(scope: Scope, name: string): BootFile {
    const [prefix = '', given] = /^\(([^()]*)\)/.exec(name) ?? [];
    const device = given ?? scope.get('root').replace(/^\(|\)$/g, '');
    return { volume: this.disk.findDevice(device), path: name.slice(prefix.length) };
  }
}

interface Place {
  readonly title: string;
  readonly id: string | undefined;
  readonly position: number;
}

/** Of menuentry and submenu. */
function menuArguments(args: readonly string[]): { title: string; id: string | undefined; rest: string[] } {
  const rest: string[] = [];
  let id: string | undefined;
  for (let at = 0; at < args.length; at++) {
    const word = args[at]!;
    if (MENU_OPTIONS_WITH_VALUE.has(word)) {
      at++;
      if (word === '--id') id = args[at];
    } else if (word.startsWith('--id=')) {
      id = word.slice(5);
    } else if (!word.startsWith('--')) {
      rest.push(word);
    }
  }
  const [title = '', ...others] = rest;
  return { title, id, rest: others };
}
