/** `xenner run` from outside: exit codes, signals, pipes, terminals, and what it says when something is wrong. */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { threadsCpuMs } from '../../bench/lib/process-tree.mjs';
import { type HostMemory, type HugepagePool, hostMemory } from '../../src/kvm/index.js';
import { CLI, Cli } from './lib/cli.js';
import { BOOT_TIMEOUT_MS, PROMPT } from './lib/guest.js';
import { initramfs, kernel, scratch } from './lib/images.js';

const dir = scratch('cli');
const ramdisk = join(dir, 'initramfs.cpio');
const image = kernel('bookworm');
const kernelPath = 'path' in image ? image.path : '';
const RUN = ['run', '--kernel', kernelPath, '--ramdisk', ramdisk, '--cmdline', 'console=hvc0 quiet'];
const IDLE_SHARE = 0.02;

beforeAll(() => void initramfs(ramdisk));
afterAll(() => rmSync(dir, { recursive: true }));

async function boot(...options: string[]): Promise<Cli> {
  const cli = new Cli([...RUN, ...options]);
  try {
    await cli.script.expect(PROMPT, BOOT_TIMEOUT_MS);
  } catch (error) {
    cli.child.kill('SIGKILL');
    throw error;
  }
  return cli;
}

/** Every failure is one line on standard error, which names what is wrong. */
function expectOneLine(stderr: string, about: RegExp): void {
  expect(stderr).toMatch(about);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(stderr).toMatch(/^xenner: /);
}

describe.skipIf('missing' in image)(
  'missing' in image ? `a guest (skipped: ${image.missing})` : 'a guest',
  () => {
    it('ends with 0 when it powers off, and the log holds what the console printed', async () => {
      const log = join(dir, 'console.log');
      const cli = await boot('--console-log', log);
      cli.script.send('poweroff\n');
      expect(await cli.end()).toEqual({ status: 0, signal: null });
      expect(cli.stderr).toBe('');
      expect(readFileSync(log, 'utf8')).toBe(cli.stdout);
      expect(cli.stdout).toMatch(/reboot: (Power down|System halted)\r*\n$/);
    });

    it('tells at its end what it needed the hypervisor for', async () => {
      const cli = await boot('--stats');
      cli.script.send('poweroff\n');
      expect((await cli.end()).status).toBe(0);
      const rows = cli.stderr.trimEnd().split('\n');
      const counts = new Map(rows.map((row) => /^(\w+) +(\d+)$/.exec(row)?.slice(1) as [string, string]));
      const [total, ...kinds] = [...counts.values()].map(Number);
      const kicks = kinds.pop() ?? 0;
      expect([...counts.keys()].slice(0, 1).concat([...counts.keys()].slice(-1))).toEqual(['exits', 'kicks']);
      expect(kinds.reduce((sum, count) => sum + count)).toBe(total);
      expect(kinds).toEqual(kinds.toSorted((a, b) => b - a));
      expect(Number(counts.get('memory_op'))).toBeGreaterThan(0);
      expect(Number(counts.get('sched_op'))).toBeGreaterThan(0);
      expect(kicks).toBeGreaterThan(0);
    });

    it('restarts when it reboots, and with --no-reboot ends with a code of its own', async () => {
      const restarting = await boot();
      restarting.script.send('reboot\n');
      await restarting.script.expect(/init: running/, BOOT_TIMEOUT_MS);
      restarting.child.kill();
      await restarting.end();
      const ending = await boot('--no-reboot');
      ending.script.send('reboot\n');
      expect(await ending.end()).toEqual({ status: 4, signal: null });
    });

    it('that panics ends with 3, registers, stack and the last console lines', async () => {
      const cli = await boot();
      cli.script.send('echo c >/proc/sysrq-trigger\n');
      expect(await cli.end()).toEqual({ status: 3, signal: null });
      expect(cli.stderr).toMatch(/^xenner: the guest crashed: /);
      expect(cli.stderr).toMatch(/rip=ffffffff[0-9a-f]{8}/);
      expect(cli.stderr).toMatch(/stack:\n( +[0-9a-f]{16})+/);
      const [, last = ''] = cli.stderr.split('last console lines:\n');
      expect(last.split('\n').length).toBeGreaterThan(10);
      for (const line of last.trimEnd().split('\n')) expect(cli.stdout).toContain(line.slice(2));
      expect(cli.stdout).toContain('Kernel panic - not syncing: sysrq triggered crash');
    });

    it.each([
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const)('ends soon after %s', async (signal, status) => {
      const cli = await boot();
      cli.child.kill(signal);
      expect(await cli.end(5000)).toEqual({ status, signal: null });
      const early = new Cli(RUN);
      await delay(300);
      early.child.kill(signal);
      const end = await early.end(5000);
      expect([status, null]).toContain(end.status);
    });

    it('ends when nobody reads its output any more', async () => {
      const cli = await boot();
      cli.child.stdout.destroy();
      cli.script.send('while true; do echo still talking; done\n');
      expect((await cli.end()).status).toBe(1);
      expectOneLine(cli.stderr, /standard output/);
    });

    it('waits while a slow reader has not read, and loses nothing', async () => {
      const cli = await boot();
      cli.script.send('seq 1 50000; echo all\\ sent\n');
      cli.child.stdout.pause();
      await delay(1000);
      cli.child.stdout.resume();
      const { before } = await cli.script.expect(/all sent\r*\n/);
      const numbers = before.split('\n').map((line) => Number(line.trim()));
      expect(numbers.slice(1, -1)).toEqual(Array.from({ length: 50_000 }, (_, i) => i + 1));
      cli.script.send('poweroff\n');
      expect((await cli.end()).status).toBe(0);
    });

    it('goes on without input, and ends in one line when its log is on a full disk', async () => {
      const silent = await boot();
      silent.child.stdin.end();
      await delay(500);
      expect(silent.child.exitCode).toBe(null);
      silent.child.kill();
      await silent.end();
      const full = new Cli([...RUN, '--console-log', '/dev/full']);
      expect((await full.end()).status).toBe(1);
      expectOneLine(full.stderr, /console log \/dev\/full: .*ENOSPC/);
    });

    it('costs next to nothing while it is idle', async () => {
      const cli = await boot();
      const pid = cli.child.pid ?? 0;
      await delay(3000);
      const before = threadsCpuMs(pid);
      await delay(30_000);
      const used = threadsCpuMs(pid) - before;
      cli.child.kill();
      await cli.end();
      expect(used).toBeLessThan(30_000 * IDLE_SHARE);
    });

    it('gives the terminal back as it was, after power-off and after Ctrl-]', async () => {
      const command = [process.execPath, CLI, ...RUN].map((word) => `'${word}'`).join(' ');
      const session = `stty -g >${dir}/before; ${command}; echo "status $?"; stty -g >${dir}/after`;
      for (const [typed, status] of [
        ['poweroff\n', 0],
        ['\x1d', 0],
      ] as const) {
        const run = promisify(execFile)('script', ['-qec', session, '/dev/null'], {
          timeout: BOOT_TIMEOUT_MS,
        });
        let seen = '';
        run.child.stdout?.on('data', (text: string) => {
          const prompted = PROMPT.test(seen);
          seen += text;
          if (!prompted && PROMPT.test(seen)) run.child.stdin?.write(typed);
        });
        const { stdout } = await run;
        expect(stdout).toMatch(new RegExp(`status ${status}\r?\n`));
        expect(readFileSync(join(dir, 'after'), 'utf8')).toBe(readFileSync(join(dir, 'before'), 'utf8'));
      }
    });
  },
);

describe('what cannot be run is one line and a status', () => {
  it.each([
    ['no such kernel', ['--kernel', join(dir, 'nothing')], 1, /nothing/],
    ['no PV kernel', ['--kernel', process.execPath], 1, /PV/],
    ['no such ramdisk', ['--kernel', kernelPath, '--ramdisk', join(dir, 'nothing')], 1, /nothing/],
    ['no kernel at all', [], 2, /--kernel/],
    ['memory in words', ['--kernel', kernelPath, '--memory', 'much'], 2, /memory/],
    ['too little memory', ['--kernel', kernelPath, '--memory', '8'], 1, /memory/i],
    ['no such profile', ['--kernel', kernelPath, '--profile', 'list'], 1, /profile 'list'; there are xen-/],
    ['no such NUMA node', ['--kernel', kernelPath, '--numa-node', '1000'], 1, /no NUMA node 1000; it has /],
    ['pages of no size', ['--kernel', kernelPath, '--hugepages', '3M'], 2, /hugepages/],
    ['huge pages and KSM', ['--kernel', kernelPath, '--hugepages', '2M', '--ksm'], 1, /KSM .*hugetlb/],
    [
      'more huge pages than there are',
      ['--kernel', kernelPath, '--hugepages', '1G', '--memory', '16384'],
      1,
      /17 pages of 1G are needed, .*; write |no pages of 1G/,
    ],
    ['unknown option', ['--kernel', kernelPath, '--colour'], 2, /--colour/],
    ['a log in no folder', ['--kernel', kernelPath, '--console-log', join(dir, 'no/log')], 1, /no\/log/],
  ] as const)('%s', async (_, args, status, about) => {
    const cli = new Cli(['run', ...args]);
    expect(await cli.end()).toEqual({ status, signal: null });
    expect(cli.stdout).toBe('');
    expectOneLine(cli.stderr, about);
  });
});

it('xenner host tells what memory there is, as the host counts it', async () => {
  const text = new Cli(['host']);
  expect((await text.end()).status).toBe(0);
  expect(text.stdout).toMatch(/^memory +\d+ MiB, \d+ MiB available\nhuge pages .*\nTHP .*\nKSM /m);
  const json = new Cli(['host', '--json']);
  expect((await json.end()).status).toBe(0);
  const { memory } = JSON.parse(json.stdout) as { memory: HostMemory };
  const { hugepages, transparentHugepages, nodes } = hostMemory();
  const size = ({ sizeKiB }: HugepagePool) => sizeKiB;
  expect(memory.hugepages.map(size)).toEqual(hugepages.map(size));
  expect(memory.transparentHugepages).toBe(transparentHugepages);
  expect(memory.nodes.map(({ node }) => node)).toEqual(nodes.map(({ node }) => node));
  for (const { node } of nodes) expect(text.stdout).toMatch(new RegExp(`^node ${node} +\\d+ MiB, `, 'm'));
});
