/** Debian's kernel under GDB, by the command line's --gdb: stopped at its shell, in a system call, stepped, let go. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cli } from '../boot/lib/cli.js';
import { BOOT_TIMEOUT_MS, PROMPT } from '../boot/lib/guest.js';
import { initramfs, kernel, scratch } from '../boot/lib/images.js';
import { Gdb } from './gdb.js';
import { missingGdb } from './guest.js';

const dir = scratch('gdb');
const ramdisk = join(dir, 'initramfs.cpio');
const image = kernel('bookworm');
const reason = 'missing' in image ? image.missing : missingGdb();
/** pt_regs.di and .si, which a system call gets (arch/x86/include/asm/ptrace.h). */
const PT_REGS_DI = 14 * 8;
const STEPS = 200;

beforeAll(() => void initramfs(ramdisk));
afterAll(() => rmSync(dir, { recursive: true }));

describe.skipIf(reason !== undefined)(`Debian's kernel${reason ? ` (skipped: ${reason})` : ''}`, () => {
  it('stands still in a system call, is stepped through it, and goes on', { timeout: 300_000 }, async () => {
    const path = 'path' in image ? image.path : '';
    const files = ['--kernel', path, '--ramdisk', ramdisk, '--cmdline', 'console=hvc0 quiet'];
    const cli = new Cli(['run', ...files, '--engine', 'soft', '--vcpus', '2', '--gdb', '0']);
    let gdb: Gdb | undefined;
    try {
      await cli.script.expect(PROMPT, BOOT_TIMEOUT_MS);
      const { output } = await cli.script.run("grep ' T __x64_sys_mkdir$' /proc/kallsyms");
      const address = `0x${/^[0-9a-f]{16}/.exec(output)?.[0]}`;
      const port = Number(/target remote 127\.0\.0\.1:(\d+)/.exec(cli.stderr)?.[1]);

      gdb = await Gdb.attach('/dev/null', port);
      expect(await gdb.run('info threads')).toMatch(/vCPU 0 sleeps[\s\S]*vCPU 1 sleeps/);
      expect(await gdb.value('$rip')).toBeGreaterThan(0xffffffff80000000n);
      await gdb.run(`break *${address}`);
      await gdb.resume('continue');
      cli.script.send('mkdir /tmp/gdb-was-here && echo made\n');
      expect(await gdb.stopped()).toMatch(/Breakpoint 1/);
      expect(await gdb.run(`x/s *(char **)($rdi + ${PT_REGS_DI})`)).toMatch(/"\/tmp\/gdb-was-here"/);
      await gdb.run('delete');
      await gdb.run('set scheduler-locking step');
      await gdb.run(`stepi ${STEPS}`);
      expect(await gdb.value('$rip')).toBeGreaterThan(0xffffffff80000000n);
      await gdb.resume('continue');
      await cli.script.expect(/made/);
      expect(await gdb.interrupt()).toMatch(/SIGINT/);
      await gdb.run('detach');
      expect((await cli.script.run('test -d /tmp/gdb-was-here')).status).toBe(0);
      expect((await cli.script.run('dmesg | grep -ci "soft lockup\\|rcu.*stall\\|BUG:"')).output.trim()).toBe(
        '0',
      );
      cli.script.send('poweroff\n');
      expect(await cli.end()).toEqual({ status: 0, signal: null });
    } finally {
      await gdb?.kill();
      cli.child.kill('SIGKILL');
    }
  });
});
