/** Several vCPUs at the same time, on a real KVM: all work, one goes down and comes up, nothing is amiss. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { compile, initramfs, type KernelName, kernel, scratch } from '../boot/lib/images.js';
import { inLab } from './lib/lab.js';

const dir = scratch('lab-smp');
const ramdisk = join(dir, 'initramfs.cpio');
const threads = join(dir, 'threads');
const COMPLAINTS = 'BUG|WARNING:|Oops|Call Trace|multicall|soft lockup|Stuck';
const ONLINE = '/sys/devices/system/cpu/cpu1/online';

beforeAll(() => {
  compile('threads', threads);
  initramfs(ramdisk, { [threads]: threads });
});
afterAll(() => rmSync(dir, { recursive: true }));

const storm = (children: number) =>
  `for i in $(seq ${children}); do (for j in 1 2 3; do seq 1 500 | md5sum; done) & done; wait`;

async function shell(context: TestContext, config: object, commands: readonly string[]): Promise<string[]> {
  const program = ['node', 'test/lab/programs/shell.mjs', JSON.stringify(config), ...commands];
  const { status, stdout, stderr } = await inLab(context, program, { timeoutS: 240 });
  expect(status, `${stderr}\n${stdout}`).toBe(0);
  const answers = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { output?: string; end?: string });
  return answers.slice(1).map(({ output, end }) => output ?? end ?? '');
}

describe.each<{ name: KernelName; vcpus: number }>([
  { name: 'bookworm', vcpus: 2 },
  { name: 'backports', vcpus: 4 },
])('$vcpus vCPUs on KVM, kernel $name', ({ name, vcpus }) => {
  it('work', async (context) => {
    const image = kernel(name);
    if ('missing' in image) return context.skip(image.missing);
    const config = { engine: 'kvm', kernel: image.path, ramdisk, vcpus, memoryMiB: 256 };
    const commands = [
      'nproc',
      storm(2 * vcpus),
      `${threads} >/dev/null && echo threads`,
      `echo 0 > ${ONLINE}; nproc; echo 1 > ${ONLINE}; taskset 2 grep -c ^processor /proc/cpuinfo`,
      "grep '^cpu[0-9]' /proc/stat | awk '$2 + $4 > 0' | wc -l",
      `dmesg | grep -E "${COMPLAINTS}" || true`,
    ];
    const [online, sums, ...rest] = await shell(context, config, commands);
    expect(online).toBe(`${vcpus}\n`);
    const lines = sums!.trim().split('\n');
    expect(lines).toEqual(new Array(6 * vcpus).fill(lines[0]));
    expect(rest).toEqual(['threads\n', `${vcpus - 1}\n${vcpus}\n`, `${vcpus}\n`, '', 'poweroff']);
  });
});

it('saved while one of them is down, it stays so, and comes up again', async (context) => {
  const image = kernel('bookworm');
  if ('missing' in image) return context.skip(image.missing);
  const config = { engine: 'kvm', kernel: image.path, ramdisk, vcpus: 3, memoryMiB: 256 };
  const down = `echo 0 > ${ONLINE}; nproc`;
  const up = `cat ${ONLINE}; nproc; echo 1 > ${ONLINE}; nproc; taskset 2 seq 1 500 | md5sum | cut -c 1-8`;
  const sane = `dmesg | grep -E "${COMPLAINTS}" || true`;
  const answers = await shell(context, config, [down, ':save', up, ':save', `nproc; ${storm(3)}`, sane]);
  expect(answers[0]).toBe('2\n');
  expect(answers[1]).toBe('saved');
  expect(answers[2]).toMatch(/^0\n2\n3\n[0-9a-f]{8}\n$/);
  expect(answers[3]).toBe('saved');
  const [online, ...sums] = answers[4]!.trim().split('\n');
  expect(online).toBe('3');
  expect(sums).toEqual(new Array(9).fill(sums[0]));
  expect(answers.slice(5)).toEqual(['', 'poweroff']);
});

it('taken out of use from outside, and put back', async (context) => {
  const image = kernel('bookworm');
  if ('missing' in image) return context.skip(image.missing);
  const config = { engine: 'kvm', kernel: image.path, ramdisk, vcpus: 4, memoryMiB: 256 };
  const until = (count: number, meanwhile: string) =>
    `until [ $(nproc) = ${count} ]; do sleep 0.1; ${meanwhile}; done; nproc`;
  // What udev does elsewhere: Linux uses none of the new ones by itself.
  const online = 'for n in 1 2 3; do echo 1 >/sys/devices/system/cpu/cpu$n/online; done 2>/dev/null';
  const work = `${threads} >/dev/null && echo threads`;
  const commands = [':vcpus 1', until(1, ':'), work, ':vcpus 3', until(3, online), work];
  const answers = await shell(context, config, [...commands, `dmesg | grep -E "${COMPLAINTS}" || true`]);
  expect(answers).toEqual(['1', '1\n', 'threads\n', '3', '3\n', 'threads\n', '', 'poweroff']);
});
