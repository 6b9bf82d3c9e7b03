/** Debian 12 on a disk, from the recipe: systemd, files, disks that come and go, and a guest that is saved with its disk. */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import {
  blockDevice,
  createDomain,
  createQcow2,
  type Domain,
  netDevice,
  openImage,
  openPasstPort,
  restoreDomain,
} from 'xenner';
import { ConsoleScript } from '../../scripts/lib/console-script.mjs';
import { DebianDisk } from './lib/disk.js';
import { scratch } from './lib/images.js';

const dir = scratch('disk');
const TIMEOUT_MS = 900_000;
/** systemd takes a quarter of a minute on a quiet machine. */
const LOGIN_TIMEOUT_MS = 300_000;
const PROMPT = /root@xenner-disk:\S*# /;
const MIB = 1024 * 1024;

afterAll(() => rmSync(dir, { recursive: true }));

/** A guest's console; its output goes there from now on. */
function scriptOf(domain: Domain): ConsoleScript {
  const script = new ConsoleScript((text) => domain.writeConsole(text));
  domain.on('console', (chunk) => script.feed(chunk));
  domain.wait().then(
    (end) => script.end(`the guest ended: ${end.reason}`),
    (error) => script.end(`the hypervisor failed: ${error}`),
  );
  return script;
}

async function output(script: ConsoleScript, command: string): Promise<string> {
  const result = await script.run(command, LOGIN_TIMEOUT_MS);
  if (result.status !== 0) throw new Error(`'${command}' ended with ${result.status}:\n${result.output}`);
  return result.output;
}

async function logIn(script: ConsoleScript): Promise<void> {
  await script.expect(/login: /, LOGIN_TIMEOUT_MS);
  script.send('root\n');
  await script.expect(PROMPT, LOGIN_TIMEOUT_MS);
  await output(script, 'dmesg -n 1');
}

/** Writes a file of 12 MiB and what is random. @returns its MD5 */
async function writeFile(script: ConsoleScript, path: string): Promise<string> {
  await output(script, `dd if=/dev/urandom of=${path} bs=64k count=192 conv=fsync status=none`);
  return (await output(script, `md5sum <${path}`)).slice(0, 32);
}

it.each(['raw', 'qcow2'] as const)(
  '%s: to a login, work, and a clean end',
  {
    timeout: TIMEOUT_MS,
  },
  async (format) => {
    const disk = DebianDisk.make(dir, format);
    if ('missing' in disk) throw new Error(disk.missing);
    const { kernel, ramdisk } = disk;
    const config = {
      kernel,
      ramdisk,
      memoryMiB: 512,
      cmdline: 'root=LABEL=xenner-root ro console=hvc0 quiet',
    };
    const open = async () => {
      const image = await openImage(disk.path, { format });
      return { image, device: blockDevice({ image, name: 'xvda', params: disk.path }) };
    };
    let { image, device } = await open();
    const { port, server, nic } = await network();
    let domain = await createDomain(config, [device, nic]);
    try {
      let script = scriptOf(domain);
      await logIn(script);
      const sum = await writeFile(script, '/root/data');
      expect(await output(script, 'systemctl is-system-running --wait')).toBe('running\n');
      expect(await output(script, 'dmesg --level=emerg,alert,crit,err')).toBe('');
      await hotPlug(domain, script);
      await talk(script, server);

      // Away and back, with its devices.
      const saved = join(dir, `saved-${format}`);
      await domain.save(saved);
      await image.close();
      ({ image, device } = await open());
      domain = await restoreDomain(saved, {}, [device, nic]);
      script = scriptOf(domain);
      await talk(script, server);
      await output(script, 'echo 3 >/proc/sys/vm/drop_caches');
      expect((await output(script, 'md5sum </root/data')).slice(0, 32)).toBe(sum);
      const second = await writeFile(script, '/root/second');

      domain.control.shutdown('poweroff');
      expect(await domain.wait()).toEqual({ reason: 'poweroff' });
      await image.close();
      expect([disk.md5Of('/root/data'), disk.md5Of('/root/second')]).toEqual([sum, second]);
    } finally {
      await domain.destroy();
      await image.close();
      port.close();
      server.close();
    }
  },
);

/** What the guest's own network reaches, without privileges: a server on this host's loopback. */
async function network() {
  const server = createServer((_, response) => response.end('x'.repeat(MIB)));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const port = await openPasstPort();
  return { port, server, nic: netDevice(port, { mac: '00:16:3e:00:00:01', handle: 0 }) };
}

/** passt gives the host's loopback the address of the guest's router. */
async function talk(script: ConsoleScript, server: Server): Promise<void> {
  const { port } = server.address() as AddressInfo;
  await output(script, '/usr/lib/systemd/systemd-networkd-wait-online --timeout=60 -i enX0');
  const router = (await output(script, "ip -4 route show default | cut -d ' ' -f 3")).trim();
  expect(await output(script, `curl -s --max-time 60 http://${router}:${port}/ | wc -c`)).toBe(`${MIB}\n`);
}

/** A second disk: it appears, takes a file system and a file, is taken away, and comes again with what is on it. */
async function hotPlug(domain: Domain, script: ConsoleScript): Promise<void> {
  const path = join(dir, 'second.qcow2');
  rmSync(path, { force: true });
  await createQcow2(path, { sizeBytes: 64 * MIB });
  const image = await openImage(path, { format: 'qcow2' });
  const device = blockDevice({ image, name: 'xvdb' });
  domain.attach(device);
  expect(() => domain.attach(device)).toThrow(expect.objectContaining({ code: 'EDEVICE_EXISTS' }));
  await output(
    script,
    'until [ -b /dev/xvdb ]; do sleep 0.1; done; mkfs.ext4 -q /dev/xvdb && mount /dev/xvdb /mnt',
  );
  const sum = await writeFile(script, '/mnt/file');
  await output(script, 'umount /mnt');
  await domain.detach(device);
  await output(script, 'until [ ! -b /dev/xvdb ]; do sleep 0.1; done');
  domain.attach(device);
  await output(script, 'until [ -b /dev/xvdb ]; do sleep 0.1; done; mount /dev/xvdb /mnt');
  expect((await output(script, 'md5sum </mnt/file')).slice(0, 32)).toBe(sum);
  await output(script, 'umount /mnt');
  await domain.detach(device);
  await image.close();
}
