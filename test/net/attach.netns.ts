/** `xenner network-attach` onto a bridge, as root, in a live domain: the guest's front end, our tap and the host's kernel. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { createLink, linkIndex } from '../../src/kvm/index.js';
import { drivers, initramfs } from '../boot/lib/images.js';
import { LiveHost, missing, onConsole, output, until, xenner } from '../boot/lib/life.js';
import { ip, links } from './lib/network.js';

const TIMEOUT_MS = 110_000;
const host = new LiveHost('attach');

beforeAll(() => {
  if (missing === undefined) initramfs(host.ramdisk, { '/lib/drivers': drivers('bookworm') });
});
afterEach(() => host.destroyAll());
afterAll(() => host.remove());

const taps = () => links().filter(({ ifname }) => ifname.startsWith('vif'));

it('a guest is plugged into a bridge and out of it', { timeout: TIMEOUT_MS }, async (context) => {
  if (missing !== undefined) return context.skip(missing);
  createLink('br9', { kind: 'bridge' }, { up: true });
  ip('addr', 'add', '10.9.0.1/24', 'dev', 'br9');
  await output('create', host.config('plugged'));
  expect((await xenner('network-attach', 'plugged', 'bridge=br8')).stderr).toMatch(/there is no bridge br8/);
  expect(taps()).toEqual([]);

  await onConsole('plugged', async ({ script }) => {
    const run = async (command: string) => {
      const ran = await script.run(command, TIMEOUT_MS);
      expect(ran, command).toMatchObject({ status: 0 });
    };
    await run('dmesg -n 1; insmod /lib/drivers/xen-netfront.ko');
    await output('network-attach', 'plugged', 'bridge=br9', 'mac=00:16:3e:00:00:09');
    const list = async () => JSON.parse(await output('network-list', '--json', 'plugged')) as object[];
    await run('until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done');
    await run('ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up');
    await run('until ping -c 1 -W 1 10.9.0.1; do sleep 0.1; done');
    expect(await list()).toMatchObject([{ mac: '00:16:3e:00:00:09', state: 4, port: 'tap vif1.0' }]);
    expect(taps()).toMatchObject([{ ifname: 'vif1.0', master: 'br9' }]);

    await output('network-detach', 'plugged', '0');
    await run('until [ ! -e /sys/class/net/eth0 ]; do sleep 0.1; done');
    expect(await list()).toEqual([]);
    expect(taps()).toEqual([]);
    await output('network-attach', 'plugged', 'bridge=br9');
  });
  await output('destroy', 'plugged');
  await until(
    async () => taps().length,
    (count) => count === 0,
  );
});

it('a guest is on a macvtap, which stays when it ends', { timeout: TIMEOUT_MS }, async (context) => {
  if (missing !== undefined) return context.skip(missing);
  ip('link', 'add', 'card9', 'type', 'veth', 'peer', 'name', 'wall9');
  for (const end of ['card9', 'wall9']) ip('link', 'set', end, 'up');
  ip('addr', 'add', '10.8.0.1/24', 'dev', 'wall9');
  const mac = '00:16:3e:00:00:08';
  const config = host.config('beside', `vif = ["macvtap=tap9,mac=${mac}"]\n`);
  expect((await xenner('create', config)).stderr).toMatch(/there is no macvtap tap9; make it: ip link add/);
  createLink('tap9', { kind: 'macvtap', below: linkIndex('card9')!, mode: 'bridge' });
  await output('create', config);
  await onConsole('beside', async ({ script }) => {
    const setUp = 'dmesg -n 1; insmod /lib/drivers/xen-netfront.ko; ip addr add 10.8.0.2/24 dev eth0';
    const ping = 'ip link set eth0 up; until ping -c 1 -W 1 10.8.0.1; do sleep 0.1; done';
    expect(await script.run(`${setUp}; ${ping}`, TIMEOUT_MS)).toMatchObject({ status: 0 });
    expect(JSON.parse(await output('network-list', '--json', 'beside'))).toMatchObject([
      { mac, state: 4, port: 'tap tap9' },
    ]);
  });
  await output('destroy', 'beside');
  expect(links()).toContainEqual(expect.objectContaining({ ifname: 'tap9', address: mac }));
});
