/** Interfaces that are defined, started, stopped and brought back, in a network namespace; their files are in a folder of the test's. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { HostInterfaces } from '../../src/mgmt/network/host-interfaces.js';
import { ip, until } from './lib/network.js';

const MAIN = 'dist/cli/main.js';

let folder: string;
let interfaces: HostInterfaces;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xenner-changes-'));
  mkdirSync(join(folder, 'root/etc/network'), { recursive: true });
  writeFileSync(join(folder, 'root/etc/network/interfaces'), '# ours\nauto lo\niface lo inet loopback\n');
  interfaces = open();
  ip('link', 'set', 'lo', 'up');
  for (const at of [1, 2]) ip('link', 'add', `eth${at}`, 'type', 'veth', 'peer', 'name', `wire${at}`);
  for (const at of [1, 2]) ip('link', 'set', `wire${at}`, 'up');
});
afterEach(() => {
  for (const { ifname, linkinfo } of shown())
    if (linkinfo?.info_kind === 'bridge' || ifname.startsWith('wire')) ip('link', 'del', ifname);
  rmSync(folder, { recursive: true, force: true });
});

function open(): HostInterfaces {
  return new HostInterfaces({
    root: join(folder, 'root'),
    configDirectory: join(folder, 'config'),
    runDirectory: join(folder, 'run'),
  });
}

async function xenner(env: Record<string, string>, ...args: string[]): Promise<string> {
  const all = {
    ...process.env,
    XENNER_NETWORK_ROOT: join(folder, 'root'),
    XENNER_CONFIG_DIR: join(folder, 'config'),
    XENNER_RUN_DIR: join(folder, 'run'),
    ...env,
  };
  const ran = promisify(execFile)(process.execPath, [MAIN, ...args], { env: all, timeout: 60_000 });
  return (await ran).stdout;
}

interface Shown {
  ifname: string;
  mtu: number;
  flags: string[];
  master?: string;
  linkinfo?: { info_kind: string; info_data?: Record<string, unknown> };
  addr_info: { local: string; prefixlen: number; scope: string }[];
}

/** As `ip -d -j addr` has them. */
const shown = (): Shown[] => JSON.parse(ip('-details', '-json', 'addr', 'show'));
const show = (name: string) => shown().find(({ ifname }) => ifname === name);
const addressesOf = (name: string) =>
  show(name)
    ?.addr_info.filter(({ scope }) => scope === 'global')
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
const isUp = (name: string) => show(name)?.flags.includes('UP');

/** All that rollback is to bring back. */
const state = () => ({
  links: shown().map(({ ifname, mtu, master, flags }) => ({
    ifname,
    mtu,
    master,
    up: flags.includes('UP'),
    addresses: addressesOf(ifname)?.sort(),
  })),
  routes: JSON.parse(ip('-json', 'route', 'show')),
});
const files = () =>
  readdirSync(join(folder, 'root/etc/network'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => [entry.name, readFileSync(join(entry.parentPath, entry.name), 'latin1')]);

const ethernet = (name: string, ip?: string) =>
  `<interface type='ethernet' name='${name}'><start mode='onboot'/>${ip ? protocol(ip) : ''}</interface>`;
const protocol = (address: string) =>
  `<protocol family='ipv4'><ip address='${address}' prefix='24'/><route gateway='${address.replace(/\d+$/, '1')}'/></protocol>`;
const bridge = (name: string, ports: readonly string[], inside = '') =>
  `<interface type='bridge' name='${name}'><start mode='onboot'/><mtu size='1400'/>${inside}<bridge stp='on' delay='4'>${ports
    .map((port) => `<interface type='ethernet' name='${port}'/>`)
    .join('')}</bridge></interface>`;

it('a bridge is made as its document says, and taken apart', async () => {
  const ipv6 = "<protocol family='ipv6'><ip address='2001:db8::9' prefix='64'/></protocol>";
  ip('addr', 'add', '10.1.0.7/24', 'dev', 'eth1');
  const defined = await interfaces.define(bridge('br0', ['eth1', 'eth2'], protocol('10.1.0.2') + ipv6));
  expect(defined.isActive).toBe(false);
  await defined.start();
  expect(show('br0')).toMatchObject({
    mtu: 1400,
    linkinfo: { info_kind: 'bridge', info_data: { forward_delay: 400, stp_state: 1 } },
  });
  for (const name of ['br0', 'eth1', 'eth2']) expect(isUp(name), name).toBe(true);
  expect([show('eth1')?.master, show('eth2')?.master]).toEqual(['br0', 'br0']);
  expect([addressesOf('br0'), addressesOf('eth1')]).toEqual([['10.1.0.2/24', '2001:db8::9/64'], []]);
  expect(ip('route', 'show', 'default')).toMatch(/^default via 10.1.0.1 dev br0/);
  await expect(open().lookup('br0').start()).rejects.toMatchObject({ code: 'VIR_ERR_OPERATION_INVALID' });

  await open().lookup('br0').destroy({ force: true });
  expect(show('br0')).toBeUndefined();
  expect([isUp('eth1'), show('eth1')?.master]).toEqual([false, undefined]);
  await expect(open().lookup('br0').destroy()).rejects.toMatchObject({ code: 'VIR_ERR_OPERATION_INVALID' });
  await open().lookup('br0').undefine();
  expect(() => open().lookup('br0')).toThrow(expect.objectContaining({ code: 'VIR_ERR_NO_INTERFACE' }));
  expect(files()).toEqual([['interfaces', '# ours\nauto lo\niface lo inet loopback\n\n']]);
});

it('what cannot be done leaves all as it was', async () => {
  ip('addr', 'add', '10.1.0.7/24', 'dev', 'eth1');
  const before = state();
  await interfaces.define(bridge('br0', ['eth1', 'eth9']));
  await expect(open().lookup('br0').start()).rejects.toThrow('there is no network device "eth9"');
  await interfaces.define(
    bridge('br0', ['eth1'], protocol('10.1.0.2').replace("gateway='10.1.0.1'", "gateway='10.99.0.1'")),
  );
  await expect(open().lookup('br0').start()).rejects.toMatchObject({ code: 'ELINK' });
  expect(state()).toEqual(before);
  const dhcp = "<protocol family='ipv4'><dhcp/></protocol>";
  await interfaces.define(bridge('br0', ['eth1'], dhcp));
  await expect(open().lookup('br0').start()).rejects.toThrow(/by DHCP, and ifupdown does not run/);
  expect(state()).toEqual(before);
  await expect(interfaces.define(ethernet('eth1'))).rejects.toThrow('"eth1" is a part of "br0"');
});

it('the way to the caller is not cut, but by force', async () => {
  const denied = { code: 'VIR_ERR_OPERATION_DENIED' };
  await interfaces.define(ethernet('eth1', '10.1.0.2'));
  await open().lookup('eth1').start();
  await expect(open().lookup('eth1').destroy()).rejects.toMatchObject(denied);
  await expect(open().lookup('eth1').bridge('br0')).rejects.toMatchObject(denied);
  ip('route', 'del', 'default');
  const ssh = { SSH_CONNECTION: '10.1.0.50 40000 10.1.0.2 22' };
  await expect(xenner(ssh, 'iface-destroy', 'eth1')).rejects.toThrow(
    /your connection from 10.1.0.50 goes over eth1/,
  );
  expect(await xenner({ SSH_CONNECTION: '192.0.2.1 1 192.0.2.2 22' }, 'iface-list')).toContain('eth1');
  expect(await xenner(ssh, 'iface-destroy', '--force', 'eth1')).toBe('Interface eth1 destroyed\n\n');
  expect([isUp('eth1'), addressesOf('eth1')]).toEqual([false, []]);
});

it('an interface becomes the port of a bridge with its addresses, and gets them back', async () => {
  await interfaces.define(ethernet('eth1', '10.1.0.2'));
  await open().lookup('eth1').start();
  const force = '--force';
  expect(await xenner({}, 'iface-bridge', 'eth1', 'br0', '--delay', '2', force)).toBe(
    'Created bridge br0 with attached device eth1\nBridge interface br0 started\n\n',
  );
  expect([addressesOf('eth1'), addressesOf('br0'), show('eth1')?.master]).toEqual([
    [],
    ['10.1.0.2/24'],
    'br0',
  ]);
  expect(ip('route', 'show', 'default')).toMatch(/dev br0/);
  expect(await xenner({}, 'iface-dumpxml', '--inactive', 'br0')).toMatch(
    /stp='on' delay='2'[\s\S]*name='eth1'/,
  );
  expect(await xenner({}, 'iface-unbridge', 'br0', force)).toBe(
    'Device eth1 un-attached from bridge br0\nInterface eth1 started\n\n',
  );
  expect([addressesOf('eth1'), show('br0')]).toEqual([['10.1.0.2/24'], undefined]);
  expect(ip('route', 'show', 'default')).toMatch(/dev eth1/);
});

it('a change that was begun is taken back: files and what the kernel has', async () => {
  await interfaces.define(ethernet('eth1', '10.1.0.2'));
  await open().lookup('eth1').start();
  ip('addr', 'add', '10.3.0.9/16', 'dev', 'eth2');
  ip('link', 'set', 'eth2', 'mtu', '1300', 'up');
  ip('link', 'add', 'hand', 'type', 'bridge');
  const before = { ...state(), files: files() };
  expect(await xenner({}, 'iface-begin')).toBe('Network config change transaction started\n\n');
  await expect(xenner({}, 'iface-begin')).rejects.toThrow(/under way already/);
  await open().lookup('eth1').bridge('br0', { force: true });
  await interfaces.define(bridge('br1', ['eth2'], protocol('10.4.0.2')));
  await open().lookup('br1').start({ force: true });
  ip('link', 'del', 'hand');
  expect(await xenner({}, 'iface-rollback')).toBe('Network config change transaction rolled back\n\n');
  const after = { ...state(), files: files() };
  const byName = (a: { ifname: string }, b: { ifname: string }) => (a.ifname < b.ifname ? -1 : 1);
  expect({ ...after, links: after.links.sort(byName) }).toEqual({
    ...before,
    links: before.links.sort(byName),
  });
  await expect(xenner({}, 'iface-rollback')).rejects.toThrow(/no change under way/);

  await interfaces.begin();
  await interfaces.define(bridge('br1', ['eth2']));
  expect(await xenner({}, 'iface-commit')).toBe('Network config change transaction committed\n\n');
  expect(open().lookup('br1').definition).toBeDefined();
});

it('a change that nobody commits in time is taken back by itself', async () => {
  await interfaces.define(ethernet('eth1', '10.1.0.2'));
  await open().lookup('eth1').start();
  const before = files();
  await xenner({}, 'iface-begin', '--timeout', '5');
  await open().lookup('eth1').destroy({ force: true });
  await interfaces.undefine('eth1');
  await until('the address to be back', () => addressesOf('eth1')?.includes('10.1.0.2/24'));
  await until('the end of it', () => readdirSync(join(folder, 'config/network')).length === 0);
  expect(files()).toEqual(before);

  const id = await interfaces.begin();
  await interfaces.commit();
  await interfaces.begin();
  await interfaces.define(ethernet('eth2'));
  await interfaces.rollbackOf(id);
  expect(open().lookup('eth2').definition).toBeDefined();
});

it('of a change that is killed, at whatever step, all or nothing stays', async () => {
  const program = `
    import fs from 'node:fs';
    import { syncBuiltinESMExports } from 'node:module';
    import { HostInterfaces } from 'xenner/mgmt';
    const [root, configDirectory, runDirectory, xml, steps] = process.argv.slice(1);
    let left = Number(steps);
    for (const call of ['renameSync', 'unlinkSync']) {
      const real = fs[call];
      fs[call] = (...args) => (left-- > 0 ? real(...args) : process.kill(process.pid, 'SIGKILL'));
    }
    syncBuiltinESMExports();
    await new HostInterfaces({ root, configDirectory, runDirectory, system: 'systemd-networkd' }).define(xml);`;
  const folders = ['root', 'config', 'run'].map((name) => join(folder, name));
  const reports: string[] = [];
  const networkd = () =>
    new HostInterfaces({
      ...optionsOf(folders),
      system: 'systemd-networkd',
      report: (line) => reports.push(line),
    });
  const [before, after] = [bridge('br0', ['eth1', 'eth2']), bridge('br0', ['eth3'])];
  const [now, then] = [await networkd().define(after), await networkd().define(before)];
  for (let steps = 0; ; steps++) {
    const words = ['--input-type=module', '-e', program, ...folders, after, String(steps)];
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'inherit'] });
    const [status] = await once(child, 'exit');
    await networkd().change(() => new Map());
    if (status === 0) break;
    expect([then.inactiveXml, now.inactiveXml], `step ${steps}`).toContain(
      networkd().lookup('br0').inactiveXml,
    );
    expect(networkd().definitions(), `step ${steps}`).toHaveLength(1);
    await networkd().define(before);
  }
  expect(networkd().lookup('br0').inactiveXml).toBe(now.inactiveXml);
  // Of eth1, eth2, eth3 and br0 two files, all but the first is a step in the middle.
  expect(reports.length).toBeGreaterThan(3);
});

const optionsOf = ([root, configDirectory, runDirectory]: readonly string[]) => ({
  root,
  configDirectory,
  runDirectory,
});
