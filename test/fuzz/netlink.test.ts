/** Messages of netlink, whole and damaged: they are decoded, or refused as such; nothing else happens. */
import { expect, it } from 'vitest';
import { XennerError } from '../../src/base/errors.js';
import { readLinks } from '../../src/kvm/index.js';
import { bytesOf, decodeAddress, decodeRoute } from '../../src/kvm/netlink/addresses.js';
import { decodeLink, encodeKind, IFLA_IFNAME, linkHeader } from '../../src/kvm/netlink/links.js';
import {
  Attributes,
  attribute,
  decodeError,
  decodeMessages,
  encodeMessage,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWROUTE,
  u32,
} from '../../src/kvm/netlink/message.js';
import { Random } from './random.js';

const RUNS = Number(process.env.XENNER_FUZZ_NETLINK ?? 5000);

const BOND = {
  kind: 'bond',
  mode: '802.3ad',
  miimon: 100,
  updelay: 200,
  downdelay: 300,
  useCarrier: false,
  arpInterval: 5,
  arpTargets: ['10.0.0.1', '10.0.0.2'],
  arpValidate: 'backup',
} as const;

const named = attribute(IFLA_IFNAME, Buffer.from('bond0\0'));
const link = encodeMessage(RTM_NEWLINK, 0, linkHeader(7), named, ...encodeKind(BOND));
const address = encodeMessage(
  RTM_NEWADDR,
  0,
  Buffer.from([2, 24, 0x80, 0, 7, 0, 0, 0]),
  attribute(2, bytesOf('10.0.0.9')),
);
const route = encodeMessage(
  RTM_NEWROUTE,
  0,
  Buffer.from([10, 64, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0]),
  attribute(1, bytesOf('2001:db8::')),
  attribute(5, bytesOf('fe80::1.2.3.4')),
  attribute(4, u32(7)),
);

it('takes back what it wrote', () => {
  const { kind: _, ...bond } = BOND;
  expect(decodeLink(decodeMessages(link)[0]!)).toMatchObject({ index: 7, name: 'bond0', kind: 'bond', bond });
  expect(decodeAddress(decodeMessages(address)[0]!)).toMatchObject({
    address: '10.0.0.9',
    prefix: 24,
    link: 7,
  });
  expect(decodeRoute(decodeMessages(route)[0]!)).toMatchObject({
    destination: '2001:db8::/64',
    gateway: 'fe80::102:304',
    link: 7,
    table: 254,
  });
  expect(readLinks().map(({ name }) => name)).toContain('lo');
});

it('refuses lengths that are wrong', () => {
  const bad = (bytes: number[]) => () => new Attributes(Buffer.from(bytes));
  expect(bad([3, 0, 1, 0])).toThrow(/an attribute of 3 bytes/);
  expect(bad([9, 0, 1, 0, 1, 2, 3, 4])).toThrow(/an attribute of 9 bytes where there are 8/);
  expect(() => decodeMessages(link.subarray(0, 15))).toThrow(/without its header/);
  expect(() => decodeMessages(link.subarray(0, 40))).toThrow(/where there are 40/);
  const short = Buffer.from(link);
  short.writeUInt32LE(0, 0);
  expect(() => decodeMessages(short)).toThrow(/a message of 0 bytes/);
});

it(`survives ${RUNS} damaged ones`, () => {
  const random = new Random(0x6e6c);
  let decoded = 0;
  for (let run = 0; run < RUNS; run++) {
    const bytes = Buffer.concat([link, address, route]);
    for (let times = 1 + random.below(4); times > 0; times--)
      bytes[random.below(bytes.length)] = random.below(256);
    const cut = random.below(4) === 0 ? random.below(bytes.length) : bytes.length;
    try {
      for (const message of decodeMessages(bytes.subarray(0, cut))) {
        decodeLink(message);
        decodeAddress(message);
        decodeRoute(message);
        if (message.payload.length >= 4) decodeError({ ...message, type: 2, flags: 0x200 });
      }
      decoded++;
    } catch (error) {
      expect(error).toBeInstanceOf(XennerError);
      expect(error).toMatchObject({ code: 'ENETLINK' });
    }
  }
  expect(decoded).toBeGreaterThan(RUNS / 20);
  expect(decoded).toBeLessThan(RUNS);
});
