/** libvirt's domain XML (https://libvirt.org/formatdomain.html) for PV guests of Xen. */
import { resolve } from 'node:path';
import type { XmlElement } from '../../../xml/tree.js';
import { ACTIONS, type Action, type Lifecycle } from '../../definition.js';
import { type Draft, newDraft } from '../draft.js';
import type { Notes } from '../notes.js';
import { readDevices } from './libvirt-devices.js';

export interface XmlReading {
  readonly draft: Draft;
  readonly notes: Notes;
  readonly folder: string;
}

const KIB = 1024;
/** Of memory; KiB where none is said. */
const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1e3,
  k: KIB,
  KiB: KIB,
  MB: 1e6,
  M: KIB ** 2,
  MiB: KIB ** 2,
  GB: 1e9,
  G: KIB ** 3,
  GiB: KIB ** 3,
  TB: 1e12,
  T: KIB ** 4,
  TiB: KIB ** 4,
};

type Reader = (reading: XmlReading, element: XmlElement) => void;

const READERS: Readonly<Record<string, Reader>> = {
  name: ({ draft }, { content, line }) => {
    if (content !== undefined) draft.name = content;
    draft.lines.set('name', line);
  },
  uuid: ({ draft }, { content, line }) => {
    if (content !== undefined) draft.uuid = content;
    draft.lines.set('uuid', line);
  },
  memory: (reading, element) => memory(reading, element, 'maxMemoryMiB'),
  currentMemory: (reading, element) => memory(reading, element, 'memoryMiB'),
  vcpu: readVcpus,
  os: readOs,
  bootloader: ({ draft }, { content, line }) => {
    if (content !== undefined) draft.bootloader = content;
    draft.lines.set('bootloader', line);
  },
  bootloader_args: ({ draft }, { content }) => {
    draft.bootloaderArgs = content?.split(/\s+/) ?? [];
  },
  on_poweroff: action,
  on_reboot: action,
  on_crash: action,
  clock: ({ notes }, element) => {
    if ((element.get('offset') ?? 'utc') === 'utc') return;
    notes.add('unsupported', element.line, 'clock', "the guest's wall clock is UTC");
  },
  devices: readDevices,
};

/** Elements beside those, with the reason why nothing is made of them. */
const IGNORED: Readonly<Record<string, string>> = {
  features: 'only HVM guests have them',
  cpu: "what a guest sees of its processor is its profile's affair",
  pm: 'only HVM guests have it',
  title: '',
  description: '',
  metadata: '',
  genid: 'only HVM guests have it',
};
for (const tuning of 'cputune numatune blkiotune memtune memoryBacking resource iothreads seclabel maxMemory perf'.split(
  ' ',
)) {
  Object.assign(IGNORED, { [tuning]: "it is the host's affair, and set there" });
}

/** @throws XennerError ECONFIG_XML */
export function readLibvirt(root: XmlElement, notes: Notes, folder: string): Draft {
  const reading = { draft: newDraft(), notes, folder };
  const type = root.get('type');
  if (type !== 'xen') {
    notes.error(
      root.line,
      'domain',
      `this is a domain of ${JSON.stringify(type ?? 'nothing')}, not of "xen"`,
    );
  }
  for (const element of root.children) {
    const { name, line } = element;
    if (Object.hasOwn(READERS, name)) READERS[name]!(reading, element);
    else if (!Object.hasOwn(IGNORED, name)) notes.add('ignored', line, name, 'this element is not known');
    else if (IGNORED[name] !== '') notes.add('ignored', line, name, IGNORED[name]!);
  }
  if (root.find('os') === undefined && root.find('bootloader') === undefined) {
    notes.error(root.line, 'os', 'neither a kernel nor a boot loader is named');
  }
  return reading.draft;
}

function whole(
  reading: XmlReading,
  { name, line }: XmlElement,
  text: string | undefined,
): number | undefined {
  if (text !== undefined && /^\d{1,15}$/.test(text)) return Number(text);
  reading.notes.error(line, name, `${JSON.stringify(text ?? '')} is not a whole number`);
  return undefined;
}

function memory(reading: XmlReading, element: XmlElement, key: 'memoryMiB' | 'maxMemoryMiB'): void {
  const unit = element.get('unit') ?? 'KiB';
  const amount = whole(reading, element, element.content);
  if (amount === undefined) return;
  if (!Object.hasOwn(UNITS, unit))
    reading.notes.error(element.line, element.name, `the unit ${JSON.stringify(unit)}`);
  else reading.draft[key] = Math.ceil((amount * UNITS[unit]!) / KIB ** 2);
  reading.draft.lines.set('memory', element.line);
  reading.draft.lines.set('maxmem', element.line);
}

function readVcpus(reading: XmlReading, element: XmlElement): void {
  const max = whole(reading, element, element.content);
  const current = element.get('current');
  const online = current === undefined ? max : whole(reading, element, current);
  if (max !== undefined) reading.draft.maxVcpus = max;
  if (online !== undefined) reading.draft.vcpus = online;
  reading.draft.lines.set('vcpus', element.line);
  reading.draft.lines.set('maxvcpus', element.line);
}

function readOs(reading: XmlReading, os: XmlElement): void {
  const { draft, notes, folder } = reading;
  const type = os.find('type');
  const kind = type?.content ?? 'xen';
  if (kind !== 'linux' && kind !== 'xen') {
    draft.refused = true;
    const what = kind === 'hvm' ? 'an HVM guest' : kind === 'xenpvh' ? 'a PVH guest' : JSON.stringify(kind);
    notes.error(
      type?.line ?? os.line,
      'type',
      `this is no PV guest but ${what}, which other hypervisors run: QEMU with KVM`,
    );
  }
  const machine = type?.get('machine');
  if (machine !== undefined && machine !== 'xenpv') {
    notes.add(
      'ignored',
      type!.line,
      'type',
      `the machine ${JSON.stringify(machine)}: a PV guest has "xenpv"`,
    );
  }
  for (const element of os.children) {
    const { name, content, line } = element;
    if (name === 'kernel' || name === 'initrd') {
      const key = name === 'kernel' ? 'kernel' : 'ramdisk';
      if (content !== undefined) draft[key] = resolve(folder, content);
    } else if (name === 'cmdline') {
      draft.cmdline = element.text.trim();
    } else if (name !== 'type') {
      notes.add('ignored', line, name, 'only HVM guests have it');
      continue;
    }
    draft.lines.set(name, line);
  }
}

function action({ draft, notes }: XmlReading, { name, content, line }: XmlElement): void {
  const known = ACTIONS.find((each): each is Action => each === content);
  if (known === undefined)
    notes.error(line, name, `${JSON.stringify(content ?? '')} is none of ${ACTIONS.join(', ')}`);
  else draft.lifecycle[name as keyof Lifecycle] = known;
}
