// Interfaces that only the lab's kernel has, in a network namespace of their own: a line of JSON about each of the documents. Ends
// with a change that is rolled back.  usage: interfaces.mjs FOLDER DOCUMENT...     FOLDER is for files, and for libvirtd
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { HostInterfaces } from 'xenner/mgmt';

const [folder = '', ...documents] = process.argv.slice(2);
/** @type {(program: string, ...words: string[]) => string} */
const run = (program, ...words) => execFileSync(program, words, { encoding: 'utf8', timeout: 60_000 });
/** @type {(...words: string[]) => string} */
const ip = (...words) => run('ip', ...words);
/** @type {() => { ifname: string, flags: string[], master?: string, mtu: number, addr_info: any[], linkinfo?: any }[]} */
const shown = () => JSON.parse(ip('-details', '-json', 'addr', 'show'));
/** @type {(about: object) => void} */
const say = (about) => console.log(JSON.stringify(about));

mkdirSync(`${folder}/root`, { recursive: true });
const open = () =>
  new HostInterfaces({
    root: `${folder}/root`,
    configDirectory: `${folder}/config`,
    runDirectory: `${folder}/run`,
    system: 'systemd-networkd',
  });

for (const name of ['eth0', 'eth1', 'eth2']) ip('link', 'add', name, 'type', 'dummy');
const daemon = spawn('bash', ['scripts/lib/libvirtd.sh', `${folder}/libvirt`, 'interface'], {
  stdio: 'ignore',
});
while (!existsSync(`${folder}/libvirt/libvirt-sock`)) await delay(50);
/** @type {(...words: string[]) => string} */
const virsh = (...words) =>
  run('virsh', '-c', `interface:///system?socket=${folder}/libvirt/libvirt-sock`, ...words);

// libvirt 9.0's udev backend does not answer about a VLAN of this kernel's. Where it has no carrier for a moment, two looks differ: the one of libvirt is between two of ours that agree.
/** @type {(name: string, document: string) => Promise<{ ours: string, theirs?: string }>} */
async function beside(name, document) {
  for (;;) {
    const before = open().lookup(name).xml;
    if (document.includes('<vlan ')) return { ours: before };
    const theirs = virsh('iface-dumpxml', name);
    if (open().lookup(name).xml === before) return { ours: before, theirs };
    await delay(100);
  }
}

for (const document of documents) {
  const { name } = await open().define(document);
  await open().lookup(name).start();
  const about = {
    name,
    links: shown(),
    inactive: open().lookup(name).inactiveXml,
    ...(await beside(name, document)),
  };
  await open().lookup(name).destroy();
  say({ ...about, after: shown() });
  await open().undefine(name);
}

// A bond with an address, under which everything is taken away.
const [bond, other] = documents;
const { name } = await open().define(bond);
await open().lookup(name).start();
const state = () =>
  shown().map(({ ifname, flags, master, mtu, addr_info, linkinfo }) => ({
    ifname,
    master,
    mtu,
    isUp: flags.includes('UP'),
    mode: linkinfo?.info_data?.mode,
    addresses: addr_info.filter(({ scope }) => scope === 'global').map(({ local }) => local),
  }));
const before = state();
await open().begin();
await open().lookup(name).destroy();
await open().undefine(name);
await open().define(other);
await open().lookup(name).start();
const changed = state();
await open().rollback();
say({ before, changed, after: state() });
daemon.kill();
