/** Bonds, VLANs and combinations of them, which most machines' kernels do not have: what the lab's `ip` says of them, and libvirt. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { BOND_MODES } from '../../src/kvm/index.js';
import { inLab } from './lib/lab.js';

interface Shown {
  ifname: string;
  mtu: number;
  flags: string[];
  master?: string;
  link?: string;
  linkinfo?: { info_kind: string; info_data?: Record<string, unknown> };
  addr_info: { local: string; prefixlen: number; scope: string }[];
}

const ADDRESS = "<protocol family='ipv4'><ip address='10.5.0.2' prefix='24'/></protocol>";
const PORTS = "<interface type='ethernet' name='eth1'/><interface type='ethernet' name='eth2'/>";
const MIIMON = "<miimon freq='100' updelay='200' downdelay='300' carrier='netif'/>";
const bond = (mode: string, monitor = MIIMON) =>
  `<interface type='bond' name='bond0'>${ADDRESS}<bond mode='${mode}'>${monitor}${PORTS}</bond></interface>`;
const vlan = (name: string, below: string, inside = '') =>
  `<interface type='vlan' name='${name}'>${inside}<vlan tag='42'><interface name='${below}'/></vlan></interface>`;
const bridge = (port: string) =>
  `<interface type='bridge' name='br0'>${ADDRESS}<bridge stp='off' delay='0'>${port}</bridge></interface>`;
const ARPMON = "<arpmon interval='500' target='10.5.0.1' validate='active'/>";

/** The first two for the rollback: a bond becomes one of another mode. */
const DOCUMENTS = [
  ...BOND_MODES.map((mode) => bond(mode)),
  bond('active-backup', ARPMON),
  vlan('eth0.42', 'eth0', ADDRESS),
  bridge(vlan('storage', 'eth0')),
  bridge(bond('802.3ad').replace(ADDRESS, '')),
];

/** libvirt's udev backend knows no addresses, and does not find a bond's ports by the names that sysfs has for them today. */
const asLibvirt = (xml: string) =>
  xml
    .replace(/ {2}<protocol [\s\S]*<\/protocol>\n/, '')
    .replace(/<bond [\s\S]*<\/bond>/, (inside) =>
      inside.replace(/^ *<interface[\s\S]*?<\/interface>\n/gm, ''),
    );
/** And it has -1, which is no speed, as one without a sign. */
const withoutNoise = (xml: string) => xml.trimEnd().replace(/ speed='4294967295'/g, '');

it('bonds of all modes, VLANs and combinations are what their documents say, and are taken back', async (context) => {
  const folder = '/tmp/interfaces';
  const program = ['node', 'test/lab/programs/interfaces.mjs', folder, ...DOCUMENTS];
  const inside = ['unshare', '--net', '--mount', 'sh', '-c', 'mount -t sysfs none /sys && exec "$@"', 'sh'];
  const { status, stdout, stderr } = await inLab(context, [...inside, ...program], { timeoutS: 280 });
  expect(status, stderr).toBe(0);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const rollback = lines.pop();
  expect(lines).toHaveLength(DOCUMENTS.length);
  expect(lines.filter(({ theirs }) => theirs !== undefined)).toHaveLength(DOCUMENTS.length - 2);
  for (const { ours, theirs, inactive } of lines) {
    if (theirs !== undefined) expect(asLibvirt(ours).trimEnd()).toBe(withoutNoise(theirs));
    for (const xml of [ours, inactive]) validate(xml);
  }
  lines.slice(0, BOND_MODES.length).forEach(checkBond);
  checkOthers(lines.slice(BOND_MODES.length));
  for (const { after } of lines) {
    const all = after as Shown[];
    expect(all.map(({ ifname }) => ifname).sort()).toEqual(['eth0', 'eth1', 'eth2', 'lo']);
    expect(all.filter(({ master, ifname }) => master || (ifname !== 'eth0' && up(all, ifname)))).toEqual([]);
  }
  expect(rollback.after).toEqual(rollback.before);
  expect(rollback.changed).not.toEqual(rollback.before);
});

const find = (links: readonly Shown[], name: string) => links.find(({ ifname }) => ifname === name);
const up = (links: readonly Shown[], name: string) => find(links, name)?.flags.includes('UP');

function checkBond({ links }: { links: Shown[] }, at: number): void {
  expect(find(links, 'bond0')).toMatchObject({
    linkinfo: {
      info_kind: 'bond',
      info_data: { mode: BOND_MODES[at], miimon: 100, updelay: 200, downdelay: 300, use_carrier: 1 },
    },
    addr_info: expect.arrayContaining([expect.objectContaining({ local: '10.5.0.2', prefixlen: 24 })]),
  });
  for (const name of ['eth1', 'eth2']) expect(find(links, name)).toMatchObject({ master: 'bond0' });
  for (const name of ['bond0', 'eth1', 'eth2']) expect(up(links, name), name).toBe(true);
}

function checkOthers([arp, tagged, overVlan, overBond]: { links: Shown[] }[]): void {
  expect(find(arp!.links, 'bond0')?.linkinfo?.info_data).toMatchObject({
    mode: 'active-backup',
    arp_interval: 500,
    arp_ip_target: ['10.5.0.1'],
    arp_validate: 'active',
  });
  const isVlan = { link: 'eth0', linkinfo: { info_kind: 'vlan', info_data: { id: 42 } } };
  expect(find(tagged!.links, 'eth0.42')).toMatchObject(isVlan);
  expect(find(overVlan!.links, 'storage')).toMatchObject({ ...isVlan, master: 'br0' });
  expect(find(overBond!.links, 'bond0')).toMatchObject({
    master: 'br0',
    linkinfo: { info_data: { mode: '802.3ad' } },
  });
  expect(find(overBond!.links, 'eth2')).toMatchObject({ master: 'bond0' });
  for (const name of ['br0', 'bond0', 'eth1']) expect(up(overBond!.links, name), name).toBe(true);
}

function validate(xml: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'xenner-network-'));
  try {
    const path = join(folder, 'interface.xml');
    writeFileSync(path, xml);
    execFileSync('virt-xml-validate', [path, 'interface'], { stdio: 'pipe' });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
