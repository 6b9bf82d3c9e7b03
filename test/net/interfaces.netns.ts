/** `xenner iface-*` in a network namespace of its own, beside libvirt's interface driver (its udev backend) and iproute2. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HostInterfaces } from '../../src/mgmt/network/host-interfaces.js';
import { missingVirsh, Virsh } from '../unit/storage/pool/virsh.js';
import { ip, links, until } from './lib/network.js';

const MAIN = 'dist/cli/main.js';
const missing = missingVirsh();
const folder = mkdtempSync(join(tmpdir(), 'xenner-interfaces-'));
let virsh: Virsh | undefined;

beforeAll(async () => {
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', 'br0', 'address', '02:00:00:00:00:01', 'type', 'bridge', 'forward_delay', '400');
  ip('link', 'add', 'br1', 'type', 'bridge', 'stp_state', '1');
  ip('link', 'add', 'va', 'mtu', '1400', 'type', 'veth', 'peer', 'name', 'vb');
  ip('link', 'add', 'port', 'type', 'veth', 'peer', 'name', 'wire');
  ip('link', 'set', 'port', 'master', 'br0', 'up');
  for (const name of ['br0', 'va', 'vb', 'wire']) ip('link', 'set', name, 'up');
  const isReady = () => links().every(({ ifname, operstate }) => ifname !== 'br0' || operstate === 'UP');
  await until('carriers', isReady);
  ip('tuntap', 'add', 'tap0', 'mode', 'tap');
  if (missing === undefined) virsh = await Virsh.start('interface');
});
afterAll(async () => {
  await virsh?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** With the sysfs of this namespace's interfaces, as a command of the host has. */
async function xenner(...args: string[]): Promise<string> {
  const program = 'mount -t sysfs none /sys && exec "$@"';
  const words = ['--mount', 'sh', '-c', program, 'sh', process.execPath, MAIN, ...args];
  return (await promisify(execFile)('unshare', words, { timeout: 60_000 })).stdout;
}

/** What libvirt's udev backend has in another way: no addresses; a bridge's delay in hundredths, where its schema has seconds. */
function asLibvirt(xml: string): string {
  return xml
    .replace(/ {2}<protocol [\s\S]*<\/protocol>\n/, '')
    .replace(/ delay='(\d+)'/, (_, seconds: string) => ` delay='${Number(seconds) * 100}'`);
}

it('has the documents of libvirt, and its names and addresses', async (context) => {
  if (virsh === undefined) return context.skip(missing);
  for (const name of ['br0', 'br1', 'va', 'port', 'lo']) {
    const [ours, theirs] = [await xenner('iface-dumpxml', name), await virsh.run('iface-dumpxml', name)];
    expect(asLibvirt(ours), name).toBe(theirs.stdout);
    expect(await xenner('iface-mac', name)).toBe((await virsh.run('iface-mac', name)).stdout);
  }
  expect(await xenner('iface-name', '02:00:00:00:00:01')).toBe('br0\n\n');
  expect(await xenner('iface-dumpxml', '02:00:00:00:00:01')).toContain("name='br0'");
});

it('lists what libvirt lists; active is what is up, there what has a carrier', async (context) => {
  if (virsh === undefined) return context.skip(missing);
  const withoutLoopback = (text: string) => text.replace(/^ lo .*\n/m, '');
  for (const option of ['--all', '--inactive'])
    expect(withoutLoopback(await xenner('iface-list', option)), option).toBe(
      withoutLoopback((await virsh.run('iface-list', option)).stdout),
    );
  expect(JSON.parse(await xenner('iface-list', '--json'))).toContainEqual({
    name: 'lo',
    state: 'active',
    mac: '00:00:00:00:00:00',
  });
});

it('tells addresses and the default route, in documents that fit the schema', async () => {
  ip('addr', 'add', '10.7.0.2/24', 'dev', 'br0');
  ip('addr', 'add', '2001:db8::2/64', 'dev', 'br0', 'nodad');
  ip('route', 'add', 'default', 'via', '10.7.0.1');
  ip('route', 'add', 'default', 'via', '10.7.0.9', 'table', '7');
  const { xml } = new HostInterfaces().lookupByName('br0');
  expect(xml).toContain(
    "  <protocol family='ipv4'>\n    <ip address='10.7.0.2' prefix='24'/>\n    <route gateway='10.7.0.1'/>\n  </protocol>\n",
  );
  expect(xml).toContain("<ip address='2001:db8::2' prefix='64'/>");
  const path = join(folder, 'br0.xml');
  writeFileSync(path, xml);
  await promisify(execFile)('virt-xml-validate', [path, 'interface']);
});

it('says when something has changed', async () => {
  const interfaces = new HostInterfaces();
  let changes = 0;
  const watch = interfaces.watch(() => changes++);
  for (const change of [
    ['link', 'set', 'br1', 'mtu', '1300'],
    ['addr', 'add', '10.8.0.1/24', 'dev', 'br1'],
    ['addr', 'add', '2001:db8:1::1/64', 'dev', 'br1'],
  ]) {
    const before = changes;
    ip(...change);
    await until(change.join(' '), () => changes > before);
  }
  watch.close();
  watch.close();
  expect(interfaces.lookupByName('br1').xml).toContain("<mtu size='1300'/>");
});

it('finds no interface by what is none, and does not choose between two', () => {
  const interfaces = new HostInterfaces();
  const failure = (code: string) => expect.objectContaining({ code });
  for (const which of ['', '..', 'a/../lo', 'x'.repeat(5000), '$(reboot)', 'lo\0', '02:00:00:00:00:77'])
    expect(() => interfaces.lookup(which)).toThrow(failure('VIR_ERR_NO_INTERFACE'));
  ip('link', 'set', 'br1', 'address', '02:00:00:00:00:01');
  expect(() => interfaces.lookup('02:00:00:00:00:01')).toThrow(failure('VIR_ERR_MULTIPLE_INTERFACES'));
});
