/** What the options of xl and xm say, into a draft (Xen: parse_config_data() in tools/xl/xl_parse.c). */
import { resolve } from 'node:path';
import { ACTIONS, type Lifecycle } from '../../definition.js';
import type { Draft } from '../draft.js';
import type { Notes } from '../notes.js';
import { Unknown, type Value } from '../python/values.js';
import { parseDisk } from './disk.js';
import type { Options } from './options.js';
import type { Say } from './say.js';
import { UNREAD_OPTIONS } from './unread.js';
import { parseVif } from './vif.js';

export interface Reading {
  readonly options: Options;
  readonly draft: Draft;
  readonly notes: Notes;
  /** Relative paths are of it. */
  readonly folder: string;
}

export function readOptions(reading: Reading): void {
  readType(reading);
  readIdentity(reading);
  readSizes(reading);
  readBoot(reading);
  readActions(reading);
  readDevices(reading);
}

/** Those that no reader asked for. An option that asks for nothing is passed over. */
export function tellUnread({ options, notes }: Reading): void {
  for (const [name, { value, line }] of options.rest()) {
    const reason = UNREAD_OPTIONS.get(name);
    if (reason === undefined && options.used.has(name)) continue;
    if (value instanceof Unknown)
      notes.add('unsupported', line, name, `its value is not known: ${value.why}`);
    else if (asksForNothing(value)) continue;
    else if (reason !== undefined) notes.add(reason.kind, line, name, reason.why);
    else notes.add('ignored', line, name, 'xl and xm have no such option');
  }
}

function asksForNothing(value: Value): boolean {
  return !value || value === '0' || (Array.isArray(value) && value.every((each) => each === ''));
}

function put<K extends keyof Draft>(
  reading: Reading,
  option: string,
  key: K,
  value: Draft[K] | undefined,
): void {
  if (value === undefined) return;
  reading.draft[key] = value;
  reading.draft.lines.set(option, reading.options.line(option));
}

/** `builder` is older than `type`. */
function readType({ options, draft, notes }: Reading): void {
  for (const option of ['type', 'builder']) {
    const type = options.text(option);
    if (type === undefined || ['pv', 'linux', 'generic'].includes(type)) continue;
    const why = ['hvm', 'pvh'].includes(type)
      ? `this is no PV guest but ${type === 'hvm' ? 'an HVM' : 'a PVH'} guest, which other hypervisors run: QEMU with KVM`
      : `${JSON.stringify(type)} is no kind of guest: only "pv"`;
    notes.error(options.line(option), option, why);
    draft.refused = true;
  }
}

function readIdentity(reading: Reading): void {
  put(reading, 'name', 'name', reading.options.text('name'));
  put(reading, 'uuid', 'uuid', reading.options.text('uuid'));
}

function readSizes(reading: Reading): void {
  const { options } = reading;
  put(reading, 'memory', 'memoryMiB', options.number('memory'));
  put(reading, 'maxmem', 'maxMemoryMiB', options.number('maxmem'));
  put(reading, 'vcpus', 'vcpus', options.number('vcpus'));
  put(reading, 'maxvcpus', 'maxVcpus', options.number('maxvcpus'));
  put(reading, 'cpu_weight', 'cpuWeight', options.number('cpu_weight'));
  for (const option of ['cpu_cap', 'cap']) put(reading, option, 'cpuCap', options.number(option));
}

/** Where Xen's packages put what `firmware` names. */
const FIRMWARE_FOLDER = '/usr/lib/xen/boot';

function readBoot(reading: Reading): void {
  const { options, notes, folder } = reading;
  // No boot loader is the empty string, and so is no ramdisk.
  const file = (option: string) => options.text(option) || undefined;
  const bootloader = file('bootloader');
  put(reading, 'bootloader', 'bootloader', bootloader);
  const inHost = (path: string | undefined) =>
    path === undefined || bootloader !== undefined ? path : resolve(folder, path);
  put(reading, 'kernel', 'kernel', inHost(file('kernel')));
  put(reading, 'ramdisk', 'ramdisk', inHost(file('ramdisk')));
  const firmware = file('firmware');
  if (firmware !== undefined) {
    if (!/^pvgrub(?:32|64)$/.test(firmware))
      notes.error(options.line('firmware'), 'firmware', 'only pvgrub32 and pvgrub64');
    else if (options.has('kernel'))
      notes.error(options.line('firmware'), 'firmware', 'there is a kernel= too');
    else put(reading, 'firmware', 'kernel', `${FIRMWARE_FOLDER}/${firmware}.bin`);
  }
  put(reading, 'bootloader_args', 'bootloaderArgs', bootloaderArgs(reading));
  put(reading, 'cmdline', 'cmdline', cmdline(reading));
}

function bootloaderArgs({ options, notes }: Reading): readonly string[] | undefined {
  const words = (text: string | undefined) => text?.split(/[ \t\n]+/).filter(Boolean);
  const old = words(options.text('bootargs'));
  if (old !== undefined)
    notes.add('deprecated', options.line('bootargs'), 'bootargs', 'it is called bootloader_args now');
  const list = options.isList('bootloader_args');
  return (list ? options.texts('bootloader_args') : words(options.text('bootloader_args'))) ?? old;
}

/** `cmdline`, or else `root` and `extra`. */
function cmdline({ options, notes }: Reading): string | undefined {
  const [whole, root, extra] = [options.text('cmdline'), options.text('root'), options.text('extra')];
  if (whole !== undefined) {
    for (const option of ['root', 'extra']) {
      if (options.has(option)) notes.add('ignored', options.line(option), option, 'cmdline= takes its place');
    }
    return whole;
  }
  // xm knew a root that says "root=" itself.
  const parts = [root === undefined ? undefined : `root=${root.replace(/^root=/, '')}`, extra];
  const said = parts.filter((part) => part !== undefined);
  return said.length === 0 ? undefined : said.join(' ');
}

const EVENTS = ['on_poweroff', 'on_reboot', 'on_watchdog', 'on_crash', 'on_soft_reset'] as const;

function readActions({ options, draft, notes }: Reading): void {
  for (const event of EVENTS) {
    const action = options.oneOf(event, ACTIONS);
    if (action !== undefined) draft.lifecycle[event] = action;
  }
  const restart = options.oneOf('restart', ['onreboot', 'always', 'never']);
  if (restart === undefined) return;
  notes.add(
    'deprecated',
    options.line('restart'),
    'restart',
    'on_poweroff=, on_reboot= and on_crash= took its place',
  );
  const all: Partial<Record<keyof Lifecycle, 'destroy' | 'restart'>> = {
    on_poweroff: restart === 'always' ? 'restart' : 'destroy',
    on_reboot: restart === 'never' ? 'destroy' : 'restart',
    on_crash: restart === 'always' ? 'restart' : 'destroy',
  };
  draft.lifecycle = { ...all, ...draft.lifecycle };
}

function readDevices(reading: Reading): void {
  const { options, draft, notes, folder } = reading;
  const say =
    (option: string): Say =>
    (kind, text) =>
      notes.add(kind, options.line(option), option, text);
  const disks = options.texts('disk');
  put(
    reading,
    'disk',
    'disks',
    disks?.flatMap((spec) => parseDisk(spec, folder, say('disk')) ?? []),
  );
  const vifs = options.texts('vif');
  put(
    reading,
    'vif',
    'nics',
    vifs?.map((spec) => parseVif(spec, say('vif'))),
  );
  const count = options.number('nics');
  if (count === undefined) return;
  notes.add('deprecated', options.line('nics'), 'nics', 'vif= says how many interfaces there are');
  while (draft.nics.length < Math.min(count, 8)) draft.nics.push(parseVif('', say('nics')));
}
