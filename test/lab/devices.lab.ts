/** Disks and networks on a real KVM, for a user who may use /dev/kvm and nothing else. */
import { execFile, execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished, type TestContext } from 'vitest';
import { DebianDisk } from '../boot/lib/disk.js';
import { drivers, initramfs, kernel } from '../boot/lib/images.js';
import { inLab, needsLab, ROOT } from './lib/lab.js';

const BYTES = 16 * 2 ** 20;
const PROGRAMS = join(ROOT, 'test/lab/programs');
const run = promisify(execFile);
/** 80 s on a quiet machine. */
const DEBIAN_TIMEOUT_S = 870;

/** What the lab writes there is on this machine too, at the same path. */
function shared(context: TestContext, name: string): string {
  const folder = join(needsLab(context), 'out', name);
  mkdirSync(folder, { recursive: true });
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** In the lab, as that user, whose folder it becomes. */
async function asUser(
  context: TestContext,
  folder: string,
  words: string[],
  timeoutS = 290,
): Promise<string> {
  const command = ['bash', join(PROGRAMS, 'as-user.sh'), folder, 'node', ...words];
  const { status, stdout, stderr } = await inLab(context, command, { timeoutS });
  expect(status, `${stderr}\n${stdout}`).toBe(0);
  return stdout;
}

const DEBIAN = 'Debian on a raw disk, from a configuration to a login, and its end';
it(DEBIAN, { timeout: (DEBIAN_TIMEOUT_S + 30) * 1000 }, async (context) => {
  const folder = shared(context, 'debian');
  const disk = DebianDisk.make(folder, 'raw');
  if ('missing' in disk) return context.skip(disk.missing);
  const config = join(folder, 'debian.cfg');
  writeFileSync(
    config,
    `name = "debian"\nmemory = 320\nvcpus = 2\nbootloader = "pygrub"
disk = ["${disk.path},raw,xvda,w"]\nvif = ["mac=00:16:3e:00:00:01"]\n`,
  );
  const { cpus, heard, data } = JSON.parse(
    await asUser(context, folder, [join(PROGRAMS, 'debian.mjs'), config], DEBIAN_TIMEOUT_S),
  ) as Record<'cpus' | 'heard' | 'data', string>;
  expect([cpus, heard]).toEqual(['2', 'over the network']);
  expect(disk.md5Of('/root/data')).toBe(data);
});

it("memory that a guest gives back is the host's, and comes again", async (context) => {
  const image = kernel('bookworm');
  if ('missing' in image) return context.skip(image.missing);
  const folder = shared(context, 'balloon');
  const kernelPath = join(folder, 'vmlinuz');
  copyFileSync(image.path, kernelPath);
  const program = join(PROGRAMS, 'balloon.mjs');
  const line = await asUser(context, folder, [program, kernelPath, initramfs(join(folder, 'ramdisk'))]);
  const seen = JSON.parse(line) as Record<'full' | 'small' | 'used' | 'again', number> & { engine: string };
  expect(seen.engine).toBe('kvm');
  expect(seen.full).toBeGreaterThan(190);
  // What Xen's tables take is small.
  for (const mib of [seen.small, seen.used]) expect(mib).toBeLessThan(188);
  expect(seen.again).toBeGreaterThan(190);
});

interface Leg {
  readonly engine: string;
  readonly sums: readonly string[];
  readonly lease: string;
  readonly written: string;
  readonly reason: string;
}

it('a guest with disks and a network goes from KVM to the soft CPU and back', async (context) => {
  const image = kernel('bookworm');
  if ('missing' in image) return context.skip(image.missing);
  const folder = shared(context, 'devices');
  const ramdisk = initramfs(join(folder, 'ramdisk'), {
    '/lib/drivers': drivers('bookworm'),
    '/bin/lease': join(PROGRAMS, 'lease.sh'),
  });
  const kernelPath = join(folder, 'vmlinuz');
  copyFileSync(image.path, kernelPath);
  writeFileSync(join(folder, 'first.raw'), '');
  truncateSync(join(folder, 'first.raw'), BYTES);
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', join(folder, 'second.qcow2'), `${BYTES}`]);

  const program = join(PROGRAMS, 'devices.mjs');
  const first = await asUser(context, folder, [program, 'boot', 'kvm', folder, kernelPath, ramdisk]);
  const { stdout: second } = await run('node', [program, 'go-on', 'soft', folder], { cwd: ROOT });
  const third = await asUser(context, folder, [program, 'end', 'kvm', folder]);
  const legs = [first, second, third].map((line) => JSON.parse(line) as Leg);
  expect(legs.map(({ engine, reason }) => [engine, reason])).toEqual([
    ['kvm', 'saved'],
    ['soft', 'saved'],
    ['kvm', 'poweroff'],
  ]);
  for (const [i, { sums, lease }] of legs.entries()) {
    expect(sums).toEqual(new Array(2).fill(i === 0 ? sums[0] : legs[i - 1]!.written));
    expect(lease).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
  }
  execFileSync('qemu-img', ['compare', '-q', join(folder, 'first.raw'), join(folder, 'second.qcow2')]);
});
