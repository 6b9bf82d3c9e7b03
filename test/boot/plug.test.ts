/** Debian in a process of its own: disks, network devices and memory come and go by commands, while the guest talks and writes. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { createQcow2 } from 'xenner';
import type { Cli } from './lib/cli.js';
import { DebianDisk } from './lib/disk.js';
import { info, LiveHost, nobody, onConsole, output, until, xenner } from './lib/life.js';

const TIMEOUT_MS = 900_000;
const LOGIN_TIMEOUT_MS = 300_000;
const PROMPT = /root@xenner-disk:\S*# /;
const MIB = 1024 * 1024;
const host = new LiveHost('plug');
const { dir } = host;

afterEach(() => host.destroyAll());
afterAll(() => host.remove());

async function run({ script }: Cli, command: string): Promise<string> {
  const result = await script.run(command, LOGIN_TIMEOUT_MS);
  expect(result, command).toMatchObject({ status: 0 });
  return result.output;
}

/** Answers every request with 64 KiB. */
async function server() {
  const serving = createServer((_, response) => response.end('x'.repeat(64 * 1024)));
  await once(serving.listen(0, '127.0.0.1'), 'listening');
  return { serving, tcp: (serving.address() as AddressInfo).port };
}

interface Nic {
  readonly devid: number;
  readonly mac: string;
  readonly state: number;
  readonly port: string;
}
const nics = async () => JSON.parse(await output('network-list', '--json', 'deb')) as Nic[];

/** A second device, which the first one's traffic goes on beside, comes and goes. */
async function plugNics(cli: Cli): Promise<void> {
  await output('network-attach', 'deb', 'mac=00:16:3e:00:00:02');
  await until(nics, (list) => list[1]?.state === 4);
  expect(await nics()).toMatchObject([
    { devid: 0, state: 4, port: 'passt' },
    { devid: 1, mac: '00:16:3e:00:00:02', state: 4, port: 'passt' },
  ]);
  expect(await output('network-list', 'deb')).toMatch(
    /^Idx BE Mac Addr\..*\n0 {3}0 {2}00:16:3e:\S+ +0 +4 +\d+ +\d+\/\d+ +\/local\/domain\/0\/backend\/vif\/1\/0\n1 .*\n$/,
  );
  await run(cli, 'until grep -q 00:16:3e:00:00:02 /sys/class/net/enX1/address; do sleep 0.1; done');
  const again = await xenner('network-attach', 'deb', 'devid=1');
  expect(again.stderr).toBe('xenner: there are two devices vif/1\n');
  expect((await xenner('network-detach', 'deb', '7')).stderr).toMatch(/no network device "7"/);
  await output('network-detach', 'deb', '00:16:3E:0:0:2');
  await run(cli, 'until [ ! -e /sys/class/net/enX1 ]; do sleep 0.1; done');
  expect(await nics()).toHaveLength(1);
}

async function plugDisk(cli: Cli): Promise<void> {
  const path = join(dir, 'second.qcow2');
  await createQcow2(path, { sizeBytes: 64 * MIB });
  await output('block-attach', 'deb', `format=qcow2,vdev=xvdb,access=w,target=${path}`);
  await run(cli, 'until [ -b /dev/xvdb ]; do sleep 0.1; done; mkfs.ext4 -q /dev/xvdb; mount /dev/xvdb /mnt');
  await run(cli, 'dd if=/dev/urandom of=/mnt/file bs=64k count=192 conv=fsync status=none');
  const sum = (await run(cli, 'md5sum </mnt/file; umount /mnt')).slice(0, 32);
  await output('block-detach', 'deb', 'xvdb');
  await run(cli, 'until [ ! -b /dev/xvdb ]; do sleep 0.1; done');
  await output('block-attach', 'deb', `format=qcow2,vdev=xvdb,access=r,target=${path}`);
  await run(cli, 'until [ -b /dev/xvdb ]; do sleep 0.1; done; mount -o ro /dev/xvdb /mnt');
  expect((await run(cli, 'md5sum </mnt/file; umount /mnt')).slice(0, 32)).toBe(sum);
  await output('block-detach', 'deb', 'xvdb');
  expect(JSON.parse(await output('block-list', '--json', 'deb'))).toHaveLength(1);
}

/** Guest memory that is in the host's, in MiB. */
async function inHost(): Promise<number> {
  const status = readFileSync(`/proc/${(await info('deb')).pid}/status`, 'utf8');
  return Number(/^RssShmem:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
}

/** The pages that go are those of a file that was: traffic and disk take theirs from among them all the while. */
async function balloon(cli: Cli): Promise<void> {
  const fill = 'dd if=/dev/urandom of=/dev/shm/fill bs=1M count=200 status=none && rm /dev/shm/fill';
  const asked = async (memoryMiB: number) => {
    await output('mem-set', 'deb', `${memoryMiB}`);
    return until(
      () => info('deb'),
      ({ currentMemoryMiB }) => currentMemoryMiB === memoryMiB,
    );
  };
  for (let round = 0; round < 2; round++) {
    await run(cli, fill);
    // More than it is to keep; what it has free by then varies.
    expect(await inHost()).toBeGreaterThan(270);
    await asked(256);
    // What Xen's tables take is small.
    expect(await inHost()).toBeLessThan(264);
    await asked(512);
  }
}

it('devices come and go, and memory, while others are busy', { timeout: TIMEOUT_MS }, async () => {
  const disk = DebianDisk.make(dir, 'raw');
  if ('missing' in disk) throw new Error(disk.missing);
  const { serving, tcp } = await server();
  const cfg = join(dir, 'deb.cfg');
  const boot = `kernel = "${disk.kernel}"\nramdisk = "${disk.ramdisk}"\nroot = "LABEL=xenner-root ro"`;
  writeFileSync(
    cfg,
    `name = "deb"\n${boot}\nextra = "console=hvc0 quiet"\nmemory = 512\nvif = [""]\ndisk = ["${disk.path},raw,xvda,w"]\n`,
  );
  await output('create', cfg);
  const atLogin = async (cli: Cli) => {
    cli.script.send('root\n');
    await cli.script.expect(PROMPT, LOGIN_TIMEOUT_MS);
    await run(cli, 'dmesg -n 1; /usr/lib/systemd/systemd-networkd-wait-online --timeout=120 -i enX0');
    await run(
      cli,
      `: >/tmp/answers; r=$(ip -4 route show default dev enX0 | cut -d ' ' -f 3); ( while curl -sf --max-time 20 http://$r:${tcp}/ >/tmp/got && [ $(stat -c %s /tmp/got) = 65536 ]; do echo >>/tmp/answers; dd if=/dev/urandom of=/var/tmp/x bs=64k count=16 conv=fsync status=none || break; done; touch /tmp/broken ) &`,
    );
    const answers = async () => Number(await run(cli, 'wc -l </tmp/answers'));
    await until(answers, (count) => count > 0);
    await plugNics(cli);
    await plugDisk(cli);
    await balloon(cli);
    // It has gone on all the while, and goes on.
    const before = await answers();
    await until(answers, (count) => count > before + 2);
    await run(cli, '[ ! -e /tmp/broken ]');
    // Pulled out from under its traffic, the device is gone, and comes back as another one.
    await output('network-detach', 'deb', '0');
    await run(cli, 'until [ -e /tmp/broken ]; do sleep 0.1; done; [ ! -e /sys/class/net/enX0 ]');
    await output('network-attach', 'deb');
    await run(cli, '/usr/lib/systemd/systemd-networkd-wait-online --timeout=120 -i enX0');
    await run(cli, `curl -sf --max-time 60 -o /dev/null http://$r:${tcp}/`);
    const [head, line] = (await output('top', '-b', '-i', '1'))
      .split('\n')
      .map((row) => row.trim().split(/ +/));
    for (const column of ['NETTX(k)', 'NETRX(k)', 'VBD_RD', 'VBD_WR', 'VBD_RSECT', 'VBD_WSECT'])
      expect(Number(line![head!.indexOf(column)]), column).toBeGreaterThan(0);
    expect(await run(cli, 'dmesg --level=emerg,alert,crit')).toBe('');
  };
  await onConsole('deb', atLogin, { prompt: /login: /, timeoutMs: LOGIN_TIMEOUT_MS });
  await output('shutdown', '-w', 'deb');
  await nobody();
  serving.close();
});
