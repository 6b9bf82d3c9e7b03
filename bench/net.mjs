// net-*: one TCP connection to this host, from our guest by netfront and from QEMU's by virtio-net, each by a passt of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Guest, XENNER } from './lib/guest.mjs';
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
const DIRECTIONS = ['send', 'receive'];
const CHUNK = Buffer.alloc(256 * 1024);

/** Sends for ever, or takes everything; either ends with the guest's side. @param {boolean} sends */
async function serve(sends) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    if (!sends) {
      socket.on('data', () => {});
      return;
    }
    const fill = () => {
      while (socket.writable && socket.write(CHUNK));
    };
    socket.on('drain', fill);
    fill();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

/** @param {string} socket */
async function startPasst(socket) {
  // As nobody, which root's becomes otherwise, it could not make its socket here.
  const runAs = process.getuid?.() === 0 ? ['--runas', '0'] : [];
  const child = spawn('passt', ['--foreground', '--stderr', ...runAs, '--socket', socket], {
    stdio: 'ignore',
  });
  const failed = once(child, 'exit').then(() => {
    throw new Error('passt has ended');
  });
  failed.catch(() => {});
  while (!existsSync(socket)) await Promise.race([sleep(10), failed]);
  return child;
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
 * @param {import('./lib/guest.mjs').Image} image with io-work and drivers in it
 * @param {number} pairs
 * @param {(name: string) => boolean} wanted
 */
export async function benchNet(image, pairs, wanted) {
  const works = MTUS.flatMap((mtu) =>
    DIRECTIONS.map((direction) => ({ name: `net-${direction}-${mtu}`, mtu, direction })),
  ).filter(({ name }) => wanted(name));
  if (works.length === 0) return;
  const directory = mkdtempSync(join(tmpdir(), 'xenner-bench-'));
  const passt = join(directory, 'passt');
  const child = await startPasst(passt);
  const guests = [XENNER, PEER].map(
    (machine) => new Guest(machine.command({ ...image, network: true, passt })),
  );
  const servers = { send: await serve(false), receive: await serve(true) };
  try {
    /** @type {string[]} */
    const routers = [];
    for (const guest of guests) routers.push(await configure(guest));
    for (const { name, mtu, direction } of works) {
      const server = direction === 'send' ? servers.send : servers.receive;
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      for (const guest of guests) await runInGuest(guest, `ip link set eth0 mtu ${mtu}`);
      const [ours, theirs] = await alternate(guests, pairs, (guest, index) =>
        runIo(guest, `net ${routers[index]} ${port} ${direction}`),
      );
      printThroughput(name, ours, { name: PEER.name, values: theirs }, '1.0');
    }
  } finally {
    for (const server of Object.values(servers)) server.close();
    for (const guest of guests) await guest.kill();
    child.kill();
    rmSync(directory, { recursive: true });
  }
}
