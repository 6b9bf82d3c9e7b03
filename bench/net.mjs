// net-*: one TCP connection to this host, from our guest by netfront and from QEMU's by virtio-net, each by a passt of its own.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guest, ROOT, XENNER } from './lib/guest.mjs';
import { alternate, loadDrivers, PEER, runInGuest, runIo } from './lib/io-work.mjs';
import { printThroughput } from './lib/report.mjs';

/** What udhcpc calls; busybox's own is not in the guest. */
const DHCP = `#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add $ip/$mask dev $interface
ip route add default via $router
echo $router >/tmp/router
`;
/** passt's own, of which a guest without DHCP options knows nothing, and Ethernet's. */
const MTUS = [1500, 65_520];
/** As the bench's scripts build it. */
const IO_WORK = `${ROOT}build/bench/io-work`;
const DIRECTIONS = ['send', 'receive'];

/**
 * @typedef {{ name: string, start: (passt: string) => Guest }} NetUser `passt`: the socket of QEMU's
 * @typedef {(argv: string[]) => string[]} Place what runs a command where the guests run
 * @typedef {{ prefix: string, pairs: number, workMs?: number, prepare?: () => void }} How `prefix`: of the figures' names
 */

/**
 * A program that runs until it is killed.
 * @param {string[]} argv
 * @param {'stdout' | 'stderr'} stream on which it says what it is waited for
 * @param {RegExp} ready
 * @returns {Promise<{ said: string, stop: () => void }>}
 */
async function startServer([program = '', ...args], stream, ready) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const each of [child.stdout, child.stderr]) each.setEncoding('utf8').resume();
  const said = new Promise((resolve, reject) => {
    let text = '';
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`${program} ${args.join(' ')} has ended: ${text}`)));
    child[stream].on('data', (more) => {
      text += more;
      if (ready.test(text)) resolve(text);
    });
  });
  return { said: await said, stop: () => child.kill() };
}

/** @param {Place} place @param {string} socket */
function startPasst(place, socket) {
  // As nobody, which root's becomes otherwise, it could not make its socket here.
  const runAs = process.getuid?.() === 0 ? ['--runas', '0'] : [];
  const argv = ['passt', '--foreground', '--stderr', ...runAs, '--socket', socket];
  return startServer(place(argv), 'stderr', /You can now start qemu/);
}

/** @param {Guest} guest @returns {Promise<string>} the router's address, which passt makes this host's loopback */
async function configure(guest) {
  await loadDrivers(guest);
  await runInGuest(guest, `printf '${DHCP.replaceAll('\n', '\\n')}' >/tmp/dhcp && chmod +x /tmp/dhcp`);
  await runInGuest(guest, 'until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done; ip link set eth0 up');
  await runInGuest(guest, 'udhcpc -q -n -i eth0 -s /tmp/dhcp');
  return (await runInGuest(guest, 'cat /tmp/router')).trim();
}

/**
 * @param {[NetUser, NetUser]} users ours and the peer, each with io-work and drivers in its ramdisk
 * @param {Place} place
 * @param {How} how
 * @param {(name: string) => boolean} wanted
 */
export async function compareNetworks(users, place, { prefix, pairs, workMs, prepare }, wanted) {
  const works = MTUS.flatMap((mtu) =>
    DIRECTIONS.map((direction) => ({ name: `${prefix}-${direction}-${mtu}`, mtu, direction })),
  ).filter(({ name }) => wanted(name));
  if (works.length === 0) return;
  prepare?.();
  const directory = mkdtempSync(join(tmpdir(), 'xenner-bench-'));
  const socket = join(directory, 'passt');
  /** @type {Array<() => unknown>} */
  const undo = [() => rmSync(directory, { recursive: true })];
  try {
    const passt = await startPasst(place, socket);
    undo.push(passt.stop);
    const server = await startServer(place([IO_WORK, 'net-server']), 'stdout', /^\d+\n/);
    undo.push(server.stop);
    const guests = users.map(({ start }) => start(socket));
    for (const guest of guests) undo.push(() => guest.kill());
    /** @type {string[]} */
    const routers = [];
    for (const guest of guests) routers.push(await configure(guest));
    for (const { name, mtu, direction } of works) {
      for (const guest of guests) await runInGuest(guest, `ip link set eth0 mtu ${mtu}`);
      const [ours, theirs] = await alternate(guests, pairs, (guest, index) =>
        runIo(guest, `net ${routers[index]} ${server.said.trim()} ${direction}`, workMs),
      );
      printThroughput(name, ours, { name: users[1].name, values: theirs }, '1.0');
    }
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

/**
 * @param {import('./lib/guest.mjs').Image} image with io-work and drivers in it
 * @param {number} pairs
 * @param {(name: string) => boolean} wanted
 */
export async function benchNet(image, pairs, wanted) {
  /** @param {import('./lib/guest.mjs').Machine} machine @returns {NetUser} */
  const user = ({ name, command }) => ({
    name,
    start: (passt) => new Guest(command({ ...image, passt })),
  });
  await compareNetworks([user(XENNER), user(PEER)], (argv) => argv, { prefix: 'net', pairs }, wanted);
}
