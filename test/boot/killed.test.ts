/**
 * The launcher is killed at random moments while its guest writes: whatever the guest was told to be on the disk is there, and image
 * and file system are in order.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, closeSync, copyFileSync, mkdirSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StorageFile } from '../../src/mgmt/storage/storage-file.js';
import { Cli } from './lib/cli.js';
import { DebianDisk } from './lib/disk.js';
import { compile, scratch } from './lib/images.js';

const RECORD = 4096;
/** `XENNER_KILLS=100` for so many. */
const ROUNDS = Number(process.env.XENNER_KILLS ?? 3);
const BOOT_TIMEOUT_MS = 200_000;
const dir = scratch('killed');
const raw = join(dir, 'fresh.raw');
let debian: DebianDisk;

/** A disk whose init writes; Debian's ramdisk finds it by its label. */
beforeAll(() => {
  const made = DebianDisk.make(dir, 'raw');
  if ('missing' in made) throw new Error(made.missing);
  debian = made;
  const tree = join(dir, 'tree');
  for (const name of ['sbin', 'dev', 'proc', 'sys', 'run']) mkdirSync(join(tree, name), { recursive: true });
  compile('sequence', join(tree, 'sbin/init'));
  chmodSync(join(tree, 'sbin/init'), 0o755);
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-L', 'sequence', '-d', tree, raw, '192M']);
}, 900_000);
afterAll(() => rmSync(dir, { recursive: true }));

/** Runs the guest on the disk and kills its launcher. @returns records that the guest was told to be on the disk */
async function killedRun(disk: string, format: string): Promise<number> {
  const cli = new Cli([
    ...['run', '--engine', 'soft', '--memory', '256', '--kernel', debian.kernel, '--ramdisk', debian.ramdisk],
    ...['--disk', `${disk},${format},xvda,w`, '--cmdline', 'root=LABEL=sequence ro console=hvc0 quiet'],
  ]);
  try {
    await cli.script.expect(/sequence from \d+\r?\n/, BOOT_TIMEOUT_MS);
    const more = Math.floor(Math.random() * 30);
    for (let i = 0; i <= more; i++) await cli.script.expect(/synced \d+\r?\n/, BOOT_TIMEOUT_MS);
    await delay(Math.random() * 40);
  } finally {
    cli.child.kill('SIGKILL');
    await cli.ended;
  }
  expect(cli.stdout).not.toContain('FAILED');
  return Math.max(...[...cli.stdout.matchAll(/synced (\d+)\r?\n/g)].map(([, number]) => Number(number))) + 1;
}

/** The records that are there, all whole and in order. */
async function recordsOn(disk: string, format: string): Promise<number> {
  // Until the kernel has ended what the killed one had under way, its lock stays: we wait for that, qemu-img does not.
  await (await StorageFile.open(disk, { readOnly: true })).close();
  const copy = join(dir, 'copy.raw');
  // 3: clusters that nothing refers to are what a crash may leave, and no more.
  if (format === 'qcow2') run('qemu-img', ['check', '-q', disk], [0, 3]);
  execFileSync('qemu-img', ['convert', '-f', format, '-O', 'raw', disk, copy]);
  // What a mount would do first; 1: there was something to be done.
  run('e2fsck', ['-E', 'journal_only', '-y', copy], [0, 1]);
  execFileSync('e2fsck', ['-fn', copy], { stdio: 'pipe' });
  const file = join(dir, 'sequence');
  execFileSync('debugfs', ['-R', `dump /sequence ${file}`, copy], { stdio: 'pipe' });
  const count = Math.floor(statSync(file).size / RECORD);
  const record = Buffer.alloc(RECORD);
  const fd = openSync(file, 'r');
  const wrong = Array.from({ length: count }, (_, i) => i).filter((number) => {
    readSync(fd, record, 0, RECORD, number * RECORD);
    const expected = Buffer.alloc(RECORD);
    for (let at = 0; at < RECORD; at += 8) expected.writeBigUInt64LE(BigInt(number), at);
    return !record.equals(expected);
  });
  closeSync(fd);
  expect(wrong).toEqual([]);
  return count;
}

function run(program: string, args: readonly string[], fine: readonly number[]): void {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  expect(fine, `${program}: ${stdout}${stderr}`).toContain(status);
}

describe.each(['raw', 'qcow2'])('%s', (format) => {
  it(`${ROUNDS} kills lose nothing that was on the disk`, { timeout: ROUNDS * BOOT_TIMEOUT_MS }, async () => {
    const disk = join(dir, `disk.${format}`);
    if (format === 'raw') copyFileSync(raw, disk);
    else execFileSync('qemu-img', ['convert', '-O', format, raw, disk]);
    let synced = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const told = await killedRun(disk, format);
      expect(told).toBeGreaterThan(synced);
      synced = await recordsOn(disk, format);
      expect(synced).toBeGreaterThanOrEqual(told);
    }
  });
});
