/** xl-network-configuration(5) (Xen: parse_nic_config() in tools/xl/xl_parse.c, tools/libs/util/libxlu_vif.c). */
import { basename } from 'node:path';
import type { NicDefinition } from '../../definition.js';
import type { Say } from './say.js';

const NO_NIC: NicDefinition = {
  mac: undefined,
  bridge: undefined,
  macvtap: undefined,
  network: undefined,
  gatewaydev: undefined,
  ip: undefined,
  script: undefined,
  vifname: undefined,
  model: undefined,
  mtu: undefined,
  rate: undefined,
  devid: undefined,
};
const MAC = /^[\da-f]{1,2}(?:[:-][\da-f]{1,2}){5}$/i;
const RATE = /^(\d+)([GMK]?)([Bb])\/s(?:@(\d+)(ms|us|s)?)?$/;
const MULTIPLES: Readonly<Record<string, number>> = { G: 1e9, M: 1e6, K: 1e3, '': 1 };
const MICROSECONDS: Readonly<Record<string, number>> = { s: 1e6, ms: 1e3, us: 1 };
const DEFAULT_INTERVAL_US = 50_000;
const MAX_MTU = 65_535;
const MAX_U32 = 0xffffffff;

/** What is said; all else undefined. */
export function nic(said: Partial<NicDefinition>): NicDefinition {
  return { ...NO_NIC, ...said };
}

/** @returns undefined for what is no MAC address */
export function parseMac(text: string): string | undefined {
  if (!MAC.test(text)) return undefined;
  const bytes = text.toLowerCase().split(/[:-]/);
  return bytes.map((byte) => byte.padStart(2, '0')).join(':');
}

/** `10Mb/s`, `1MB/s@20ms`. */
export function parseRate(text: string): NicDefinition['rate'] {
  const match = RATE.exec(text);
  if (match === null) return undefined;
  const [, amount, multiple = '', unit, interval, intervalUnit = 's'] = match;
  const perSecond =
    BigInt(Number(amount) > MAX_U32 ? MAX_U32 : Number(amount)) * BigInt(MULTIPLES[multiple]!);
  const bytes = unit === 'b' ? perSecond / 8n : perSecond;
  const intervalUs =
    interval === undefined ? DEFAULT_INTERVAL_US : Number(interval) * MICROSECONDS[intervalUnit]!;
  if (intervalUs < 1 || intervalUs > MAX_U32) return undefined;
  const inInterval = Number((bytes * BigInt(intervalUs)) / 1_000_000n);
  return inInterval === 0 ? undefined : { bytes: inInterval, intervalUs };
}

/** What a definition says of an interface that nothing here uses. */
export function withoutEffect({
  script,
  ip,
  gatewaydev,
  model,
  network,
  bridge,
}: NicDefinition): readonly string[] {
  const texts: string[] = [];
  // What vif-bridge does is done without it.
  if (script !== undefined && script !== '' && basename(script) !== 'vif-bridge')
    texts.push(`script=${script}: hot-plug scripts are not run`);
  if (ip !== undefined) texts.push(`ip=${ip}: it is for hot-plug scripts, which are not run`);
  if (gatewaydev !== undefined) texts.push(`gatewaydev=${gatewaydev}: there are no routed interfaces`);
  if (model !== undefined && model !== 'netfront') texts.push(`model=${model}: it is for HVM guests`);
  if (network !== undefined && bridge === undefined)
    texts.push(`the network ${JSON.stringify(network)} is not known here: it is passt's`);
  return texts;
}

type Said = { -readonly [K in keyof NicDefinition]?: NicDefinition[K] };

/** Each gives the reason why a value makes no sense, or nothing. */
const KEYS: Readonly<Record<string, (nic: Said, value: string, say: Say) => string | undefined>> = {
  mac: (nic, value) => {
    nic.mac = parseMac(value);
    return nic.mac === undefined ? `${JSON.stringify(value)} is no MAC address` : undefined;
  },
  rate: (nic, value) => {
    nic.rate = parseRate(value);
    return nic.rate === undefined ? `${JSON.stringify(value)} is no rate such as 10Mb/s` : undefined;
  },
  mtu: (nic, value) => number(value, MAX_MTU, (mtu) => Object.assign(nic, { mtu })),
  devid: (nic, value) => number(value, MAX_U32, (devid) => Object.assign(nic, { devid })),
  bridge: (nic, value) => set(nic, 'bridge', value),
  // Ours: xl has no name for it.
  macvtap: (nic, value) => set(nic, 'macvtap', value),
  gatewaydev: (nic, value) => set(nic, 'gatewaydev', value),
  netdev: (nic, value, say) => {
    say('deprecated', 'netdev= is called gatewaydev= now');
    return set(nic, 'gatewaydev', value);
  },
  ip: (nic, value) => set(nic, 'ip', value),
  script: (nic, value) => set(nic, 'script', value),
  vifname: (nic, value) => set(nic, 'vifname', value),
  model: (nic, value) => set(nic, 'model', value),
  backend: (_, value) => (['', '0', 'Domain-0'].includes(value) ? undefined : 'there are no driver domains'),
  type: (_nic, _value, say) => {
    say('ignored', 'type= is for HVM guests');
    return undefined;
  },
};
const FLAGS = ['trusted', 'untrusted'];

function set(
  nic: Said,
  key: 'bridge' | 'macvtap' | 'gatewaydev' | 'ip' | 'script' | 'vifname' | 'model',
  value: string,
): undefined {
  nic[key] = value;
}

function number(text: string, max: number, put: (value: number) => void): string | undefined {
  const value = Number(text);
  if (!/^\d{1,10}$/.test(text) || value > max)
    return `${JSON.stringify(text)} is not a number from 0 to ${max}`;
  put(value);
  return undefined;
}

/** xl complains about what it does not know, and goes on; so does this. */
export function parseVif(spec: string, say: Say): NicDefinition {
  const said: Said = {};
  for (const token of spec.split(',').map((each) => each.trim())) {
    if (token === '' || FLAGS.includes(token)) continue;
    const [, key = '', value = ''] = /^([^=]*?)\s*=\s*(.*)$/s.exec(token) ?? [];
    if (key.startsWith('colo') || key === 'accel' || key === 'forwarddev')
      say('unsupported', `${key}= is not supported`);
    else if (!Object.hasOwn(KEYS, key))
      say('ignored', `${JSON.stringify(token)} is not known for an interface`);
    else {
      const wrong = KEYS[key]!(said, value, say);
      if (wrong !== undefined) say('error', `${key}: ${wrong}`);
    }
  }
  if (said.bridge !== undefined && said.macvtap !== undefined)
    say('error', 'macvtap: it takes the place of a bridge, and there is one');
  return nic(said);
}
