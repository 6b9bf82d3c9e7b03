/** Interfaces in /etc/network/interfaces and interfaces.d: interfaces(5), bridge-utils-interfaces(5), and ifenslave's options. */
import { isIPv4, isIPv6 } from 'node:net';
import { ARP_VALIDATE, BOND_MODES, type Family } from '../../../kvm/index.js';
import { type Bond, isInterfaceName, type Protocol } from '../definition.js';
import {
  type Changes,
  type ConfigSystem,
  type Files,
  type FlatInterface,
  unsupported,
} from './config-system.js';

const MAIN = '/etc/network/interfaces';
const KEYWORDS =
  /^\s*(auto|allow-\S+|no-auto-down|no-scripts|rename|iface|mapping|template|source|source-directory)\b/;
/** Options that we write; `-` and `_` are the same in them, and some have two names. All others of a stanza stay. */
const OURS = new Set([
  ...[
    'address',
    'netmask',
    'gateway',
    'mtu',
    'hwaddress',
    'vlan-raw-device',
    'bridge-ports',
    'bridge-stp',
    'bridge-fd',
  ],
  ...[
    'bond-slaves',
    'bond-mode',
    'bond-miimon',
    'bond-updelay',
    'bond-downdelay',
    'bond-use-carrier',
    'bond-master',
  ],
  ...['bond-arp-interval', 'bond-arp-ip-target', 'bond-arp-validate', 'accept-ra', 'autoconf', 'slaves'],
]);

/** Of one interface; each is one more address, mostly. */
const MAX_STANZAS = 64;

/** A keyword's line and those below it, comments included, as they stand. */
interface Stanza {
  readonly path: string;
  words: string[];
  lines: string[];
}

type Options = readonly (readonly [name: string, value: string | number | undefined])[];

export const ifupdown: ConfigSystem = {
  name: 'ifupdown',
  signs: [MAIN],
  patterns: [MAIN, `${MAIN}.d/*`],
  read: (files) => readAll(parse(files)),
  put: (files, flat) => {
    const stanzas = parse(files);
    mark(stanzas, flat);
    const wanted = stanzasOf(flat);
    for (const [family, method, options] of wanted) rewrite(stanzas, flat.name, family, method, options);
    const families = wanted.map(([family]) => family);
    const isGone = (each: Stanza) =>
      each.words[0] === 'iface' && each.words[1] === flat.name && !families.includes(each.words[2] as 'inet');
    return write(
      files,
      stanzas.filter((each) => !isGone(each)),
    );
  },
  remove: (files, name) => {
    const stanzas = parse(files);
    for (const stanza of stanzas.filter(isMark))
      setWords(
        stanza,
        stanza.words.filter((word, at) => at === 0 || word !== name),
      );
    return write(
      files,
      stanzas.filter(({ words }) => words[0] !== 'iface' || words[1] !== name),
    );
  },
};

/** Lines that end with a backslash go on in the next. What comes before the first keyword is a stanza without words. */
function parse(files: Files): Stanza[] {
  const stanzas: Stanza[] = [];
  for (const path of [...files.keys()].sort()) {
    let stanza: Stanza = { path, words: [], lines: [] };
    stanzas.push(stanza);
    for (const line of files
      .get(path)!
      .replace(/\n$/, '')
      .match(/(?:.*\\\n)*.*(?:\n|$)/g)!
      .filter((each) => each !== '')) {
      const text = line.replace(/\n$/, '');
      if (KEYWORDS.test(text)) {
        stanza = { path, words: wordsOf(text), lines: [] };
        stanzas.push(stanza);
      }
      stanza.lines.push(text);
    }
  }
  return stanzas;
}

const wordsOf = (line: string) => line.replaceAll('\\\n', ' ').trim().split(/\s+/);
const isMark = ({ words }: Stanza) => words[0] === 'auto' || words[0]?.startsWith('allow-') === true;

function setWords(stanza: Stanza, words: string[]): void {
  if (words.length === stanza.words.length) return;
  stanza.words = words;
  // Comments behind it stay.
  stanza.lines = [...(words.length > 1 ? [words.join(' ')] : []), ...stanza.lines.slice(1)];
}

function write(files: Files, stanzas: readonly Stanza[]): Changes {
  const changes: Changes = new Map();
  for (const path of new Set([...files.keys(), ...stanzas.map((each) => each.path)])) {
    const lines = stanzas.filter((each) => each.path === path).flatMap((each) => each.lines);
    const text = lines.map((line) => `${line}\n`).join('');
    if (text !== files.get(path)) changes.set(path, text);
  }
  return changes;
}

/** `auto` and `allow-hotplug` lines. Ports are brought up with what they are ports of. */
function mark(stanzas: Stanza[], { name, start, master }: FlatInterface): void {
  const wanted =
    master !== undefined
      ? undefined
      : start === 'onboot'
        ? 'auto'
        : start === 'hotplug'
          ? 'allow-hotplug'
          : undefined;
  let isThere = false;
  for (const stanza of stanzas.filter(isMark)) {
    if (!stanza.words.includes(name, 1)) continue;
    if (stanza.words[0] === wanted) isThere = true;
    else
      setWords(
        stanza,
        stanza.words.filter((word, at) => at === 0 || word !== name),
      );
  }
  if (wanted !== undefined && !isThere)
    append(stanzas, { path: MAIN, words: [wanted, name], lines: [`${wanted} ${name}`] });
}

function append(stanzas: Stanza[], stanza: Stanza): void {
  const last = stanzas.findLast(({ path }) => path === MAIN);
  const follows = last !== undefined && isMark(last) && last.words.includes(stanza.words[1]!);
  if (last !== undefined && !follows && last.lines.at(-1)?.trim()) last.lines.push('');
  stanzas.push(stanza);
}

function rewrite(stanzas: Stanza[], name: string, family: string, method: string, options: Options): void {
  const header = `iface ${name} ${family} ${method}`;
  const lines = options
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `    ${key} ${value}`);
  const old = stanzas.find(({ words }) => words[0] === 'iface' && words[1] === name && words[2] === family);
  if (old === undefined) {
    append(stanzas, { path: MAIN, words: header.split(' '), lines: [header, ...lines] });
    return;
  }
  const kept = old.lines.slice(1).filter((line) => !OURS.has(optionName(line)));
  old.words = header.split(' ');
  old.lines = [header, ...lines, ...kept];
}

const optionName = (line: string) => wordsOf(line)[0]!.replaceAll('_', '-');

type StanzaPlan = readonly [family: 'inet' | 'inet6', method: string, options: Options];

function stanzasOf(flat: FlatInterface): StanzaPlan[] {
  const of = (family: Family) => flat.protocols.find((each) => each.family === family);
  const [ipv4, ipv6] = [of('ipv4'), of('ipv6')];
  for (const protocol of flat.protocols) checkProtocol(protocol);
  const plans: StanzaPlan[] = [];
  const device = deviceOptions(flat);
  if (ipv4 !== undefined || ipv6 === undefined)
    plans.push([
      'inet',
      ipv4?.dhcp ? 'dhcp' : ipv4?.ips.length ? 'static' : 'manual',
      [...addressOptions(ipv4), ...device],
    ]);
  if (ipv6 !== undefined) {
    const method = ipv6.dhcp ? 'dhcp' : ipv6.ips.length ? 'static' : ipv6.autoconf ? 'auto' : 'manual';
    const autoconf = method === 'auto' ? undefined : ipv6.autoconf ? 1 : undefined;
    plans.push([
      'inet6',
      method,
      [...addressOptions(ipv6), ['autoconf', autoconf], ...(ipv4 === undefined ? device : [])],
    ]);
  }
  return plans;
}

function checkProtocol({ dhcp, ips, family }: Protocol): void {
  if (dhcp?.peerdns === false) throw unsupported('ifupdown', "dhcp's peerdns");
  if (dhcp !== undefined && ips.length > 0)
    throw unsupported('ifupdown', `dhcp beside addresses of ${family}`);
  if (ips.length > 1) throw unsupported('ifupdown', `several addresses of ${family} on one interface`);
}

function addressOptions(protocol: Protocol | undefined): Options {
  return [
    ...(protocol?.ips ?? []).map(
      ({ address, prefix }) => ['address', `${address}/${prefix ?? (isIPv6(address) ? 128 : 32)}`] as const,
    ),
    ['gateway', protocol?.gateway],
  ];
}

function deviceOptions({
  name,
  type,
  mtu,
  mac,
  bridge,
  bond,
  vlan,
  ports = [],
  master,
  masterType,
}: FlatInterface): Options {
  if (vlan !== undefined && name !== `${vlan.interface}.${vlan.tag}` && name !== `vlan${vlan.tag}`)
    throw unsupported(
      'ifupdown',
      `a VLAN by another name than ${vlan.interface}.${vlan.tag} or vlan${vlan.tag}`,
    );
  const isOn = bridge?.stp === undefined ? undefined : bridge.stp ? 'on' : 'off';
  const { mode, miimon, arpmon }: Partial<Bond> = bond ?? {};
  const carrier = miimon?.carrier === undefined ? undefined : Number(miimon.carrier === 'netif');
  return [
    ['mtu', mtu],
    ['hwaddress', type === 'ethernet' ? mac : undefined],
    ['vlan-raw-device', vlan?.interface],
    ['bridge_ports', bridge && (ports.join(' ') || 'none')],
    ['bridge_stp', isOn],
    ['bridge_fd', bridge?.delay],
    ['bond-slaves', bond && (ports.join(' ') || 'none')],
    ['bond-mode', mode],
    ['bond-miimon', miimon?.freq],
    ['bond-updelay', miimon?.updelay],
    ['bond-downdelay', miimon?.downdelay],
    ['bond-use-carrier', carrier],
    ['bond-arp-interval', arpmon?.interval],
    ['bond-arp-ip-target', arpmon?.target],
    ['bond-arp-validate', arpmon?.validate],
    ['bond-master', masterType === 'bond' ? master : undefined],
  ];
}

function readAll(stanzas: readonly Stanza[]): FlatInterface[] {
  const marked = (keyword: string) =>
    new Set(stanzas.filter(({ words }) => words[0] === keyword).flatMap(({ words }) => words.slice(1)));
  const [auto, hotplug] = [marked('auto'), marked('allow-hotplug')];
  const ifaces = new Map<string, Stanza[]>();
  for (const stanza of stanzas) {
    const [keyword, name = ''] = stanza.words;
    if (keyword === 'iface' && isInterfaceName(name) && name !== 'lo')
      ifaces.set(name, [...(ifaces.get(name) ?? []), stanza].slice(0, MAX_STANZAS));
  }
  const flats = [...ifaces].map(([name, own]): FlatInterface => {
    const start = auto.has(name) ? 'onboot' : hotplug.has(name) ? 'hotplug' : 'none';
    return { ...readOne(name, own), start };
  });
  const masters = new Map<string, FlatInterface>();
  for (const flat of flats)
    for (const port of flat.ports ?? []) if (!masters.has(port)) masters.set(port, flat);
  const configured = new Set(flats.map(({ name }) => name));
  const bare = [...masters.keys()]
    .filter((name) => !configured.has(name) && isInterfaceName(name))
    .map((name): FlatInterface => ({ type: 'ethernet', name, protocols: [] }));
  return [...flats, ...bare].map((flat) => {
    const master = masters.get(flat.name);
    return { ...flat, master: master?.name, masterType: master && (master.bridge ? 'bridge' : 'bond') };
  });
}

function readOne(name: string, stanzas: readonly Stanza[]): FlatInterface {
  const options = new Map<string, string>();
  for (const { lines } of stanzas)
    for (const line of lines.slice(1)) {
      const [, ...words] = wordsOf(line);
      if (OURS.has(optionName(line))) options.set(optionName(line), words.join(' '));
    }
  const number = (key: string) =>
    /^\d{1,9}(\.\d+)?$/.test(options.get(key) ?? '') ? Number(options.get(key)) : undefined;
  const list = (key: string) =>
    options
      .get(key)
      ?.split(' ')
      .filter((word) => word !== 'none' && isInterfaceName(word));
  const [bridgePorts, bondPorts] = [list('bridge-ports'), list('bond-slaves') ?? list('slaves')];
  const isBond = bondPorts !== undefined || options.has('bond-mode');
  const [, below, tag] = /^(.+)\.(\d{1,4})$/.exec(name) ?? [];
  const raw = options.get('vlan-raw-device') ?? below;
  const id = Number(tag ?? /^vlan0*(\d{1,4})$/.exec(name)?.[1] ?? Number.NaN);
  const isVlan =
    bridgePorts === undefined && !isBond && raw !== undefined && isInterfaceName(raw) && id < 4096;
  const stp = options.get('bridge-stp');
  return {
    type: bridgePorts ? 'bridge' : isBond ? 'bond' : isVlan ? 'vlan' : 'ethernet',
    name,
    mtu: number('mtu'),
    mac: options
      .get('hwaddress')
      ?.replace(/^ether /, '')
      .toLowerCase(),
    protocols: stanzas
      .map(readProtocol)
      .filter((protocol) => protocol !== undefined)
      .sort((a, b) => (a.family < b.family ? -1 : 1)),
    bridge: bridgePorts && {
      stp: stp === undefined ? undefined : stp === 'on' || stp === 'yes',
      delay: number('bridge-fd'),
      interfaces: [],
    },
    bond: isBond ? readBond(options, number) : undefined,
    vlan: isVlan ? { tag: id, interface: raw } : undefined,
    ports: bridgePorts ?? bondPorts,
  };
}

function readBond(options: ReadonlyMap<string, string>, number: (key: string) => number | undefined): Bond {
  const [freq, interval] = [number('bond-miimon'), number('bond-arp-interval')];
  const [mode, target, carrier] = [
    options.get('bond-mode'),
    options.get('bond-arp-ip-target'),
    number('bond-use-carrier'),
  ];
  return {
    mode: BOND_MODES.find((each, at) => each === mode || String(at) === mode),
    miimon:
      freq === undefined
        ? undefined
        : {
            freq,
            updelay: number('bond-updelay'),
            downdelay: number('bond-downdelay'),
            carrier: carrier === undefined ? undefined : carrier === 0 ? 'ioctl' : 'netif',
          },
    arpmon:
      interval === undefined || target === undefined || !isIPv4(target)
        ? undefined
        : {
            interval,
            target,
            validate: ARP_VALIDATE.find((each) => each === options.get('bond-arp-validate')),
          },
    interfaces: [],
  };
}

function readProtocol({ words, lines }: Stanza): Protocol | undefined {
  const [, , inet, method] = words;
  const family = inet === 'inet' ? 'ipv4' : inet === 'inet6' ? 'ipv6' : undefined;
  const get = (key: string) =>
    lines
      .slice(1)
      .map(wordsOf)
      .find(([word]) => word === key)?.[1];
  const isOf = family === 'ipv4' ? isIPv4 : isIPv6;
  const [address = '', prefix] = get('address')?.split('/') ?? [];
  if (family === undefined) return undefined;
  const gateway = get('gateway');
  const protocol: Protocol = {
    family,
    autoconf: family === 'ipv6' && (method === 'auto' || get('autoconf') === '1') ? true : undefined,
    dhcp: method === 'dhcp' ? {} : undefined,
    ips:
      method === 'static' && isOf(address) ? [{ address, prefix: prefixOf(prefix ?? get('netmask')) }] : [],
    gateway: gateway !== undefined && isOf(gateway) ? gateway : undefined,
  };
  const { autoconf, dhcp, ips } = protocol;
  return autoconf || dhcp || ips.length > 0 || protocol.gateway ? protocol : undefined;
}

/** `24`, or `255.255.255.0`. */
function prefixOf(text: string | undefined): number | undefined {
  if (text !== undefined && /^\d{1,3}$/.test(text)) return Number(text);
  if (text === undefined || !isIPv4(text)) return undefined;
  return text
    .split('.')
    .map((part) => Number(part).toString(2))
    .join('')
    .replaceAll('0', '').length;
}
