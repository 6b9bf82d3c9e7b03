/** Programs inside a guest give the answers that they give on the host: the same files, the same commands. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BootedGuest } from './lib/guest.js';
import { compile, initramfs, type KernelName, kernel, packageFiles, ROOT, scratch } from './lib/images.js';

const VARIANTS = [1, 2, 3, 4, 5, 6, 7, 8];
const dir = scratch('programs');
const tests = join(dir, 'tests');
const ramdisk = join(dir, 'initramfs.cpio');

const variants = VARIANTS.map((n) => `${tests}/variant-${n}`).join(' ');
const COMMANDS: Record<string, string> = {
  'signals, their codes and addresses': `${tests}/signals`,
  'debug registers': `${tests}/debug-registers`,
  threads: `${tests}/threads`,
  arithmetic: `${tests}/arithmetic`,
  python: `/usr/bin/python3 -I -S ${tests}/answers.py`,
  perl: `/usr/bin/perl ${tests}/answers.pl`,
  'xz there and back': `/usr/bin/xz -4 -c /usr/bin/perl >/tmp/perl.xz && md5sum </tmp/perl.xz &&
    /usr/bin/xz -dc /tmp/perl.xz | cmp - /usr/bin/perl && echo same`,
  'programs of other code at the same address': `for round in $(seq 20); do for p in ${variants}; do $p || exit; done; done`,
  'other code in the same file': `for round in $(seq 5); do for p in ${variants}; do
    cp $p /tmp/variant && /tmp/variant || exit; done; done; rm /tmp/variant`,
};

/** What QEMU's translator, and so the soft CPU, does not raise or raises as another exception. */
const RARE_SIGNALS = `${tests}/signals rare`;
const NOT_ON_SOFT =
  'the soft CPU knows no SSE exceptions, no #SS for non-canonical stacks, no #UD for LOCK on registers';

const hostAnswers = new Map<string, string>();

beforeAll(() => {
  mkdirSync(tests);
  packageFiles(['python3*-minimal', 'libpython3*-minimal', 'perl-base', 'xz-utils'], dir);
  for (const name of ['signals', 'debug-registers', 'threads', 'arithmetic'])
    compile(name, join(tests, name));
  for (const n of VARIANTS) compile('variant', join(tests, `variant-${n}`), [`-DVARIANT=${n}`]);
  for (const name of ['answers.py', 'answers.pl']) {
    copyFileSync(join(ROOT, 'test/boot/programs', name), join(tests, name));
  }
  initramfs(ramdisk, { '/usr': join(dir, 'usr'), [tests]: tests });
  for (const command of [...Object.values(COMMANDS), RARE_SIGNALS]) {
    hostAnswers.set(command, execFileSync('sh', ['-c', command], { encoding: 'utf8', timeout: 60_000 }));
  }
});
afterAll(() => rmSync(dir, { recursive: true }));

describe.each<{ name: KernelName; fastPaths: boolean }>([
  { name: 'bookworm', fastPaths: true },
  { name: 'bookworm', fastPaths: false },
  { name: 'bullseye', fastPaths: true },
  { name: 'backports', fastPaths: true },
])('programs on $name, fast paths: $fastPaths', ({ name, fastPaths }) => {
  const image = kernel(name);
  let guest: BootedGuest | undefined;

  beforeAll(async () => {
    if ('missing' in image) return;
    guest = await BootedGuest.boot({ kernel: image.path, ramdisk, fastPaths, memoryMiB: 384 });
  });
  afterAll(() => guest?.domain.destroy());

  it.for(Object.entries(COMMANDS))('%s', async ([, command], ctx) => {
    if ('missing' in image) return ctx.skip(image.missing);
    expect(await guest?.output(command, 110_000)).toBe(hostAnswers.get(command));
  });

  it('signals that are rare', async (ctx) => {
    if ('missing' in image) return ctx.skip(image.missing);
    if (guest?.domain.engine === 'soft') return ctx.skip(NOT_ON_SOFT);
    expect(await guest?.output(RARE_SIGNALS)).toBe(hostAnswers.get(RARE_SIGNALS));
  });

  it('leaves a kernel without complaints', async (ctx) => {
    if ('missing' in image) return ctx.skip(image.missing);
    expect(await guest?.output('dmesg | grep -E "BUG|WARNING:|Oops|Call Trace" || true')).toBe('');
  });
});
