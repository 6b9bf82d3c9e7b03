/**
 * scripts/lab.sh keeps its word: arguments, streams and exit status pass unchanged, files of this machine are read and
 * never written, and nothing outlives its end.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inLab, labScript, needsLab } from './lib/lab.js';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'xenner-lab-driver-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Ids of processes that have a word in their command lines. */
function processesWith(word: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word);
    } catch {
      return false;
    }
  });
}

describe('a command', () => {
  it('gets its arguments as they are', async (context) => {
    const argv = [
      'a  b',
      "it's",
      '"quoted"',
      '',
      '$HOME',
      '`id`',
      '*',
      '--',
      '-x',
      'new\nline',
      'back\\slash',
      'ü',
    ];
    const { stdout } = await inLab(context, ['printf', '<%s>', ...argv]);
    expect(stdout).toBe(argv.map((argument) => `<${argument}>`).join(''));
  });

  it('has the folder and the environment of its caller, and knows where it is', async (context) => {
    const env = { ...process.env, XENNER_LAB_TEST: 'two  words\nand $a line' };
    const script = 'pwd; printf %s "$XENNER_LAB_TEST|$HOME|$XENNER_LAB"';
    const { stdout } = await inLab(context, ['sh', '-c', script], { cwd: scratch, env });
    expect(stdout).toBe(`${scratch}\n${env.XENNER_LAB_TEST}|${process.env.HOME}|1`);
  });

  it('has standard output and standard error apart, and its exit status', async (context) => {
    const script = 'echo one; echo two >&2; exit 7';
    expect(await inLab(context, ['sh', '-c', script])).toEqual({
      status: 7,
      stdout: 'one\n',
      stderr: 'two\n',
    });
  });

  it.for([
    [['sh', '-c', 'kill -9 $$'], 137, ''],
    [['no-such-program'], 127, 'lab: no-such-program: No such file or directory\n'],
    [['/etc/passwd'], 126, 'lab: /etc/passwd: Permission denied\n'],
  ] as const)('%j ends with status %d', async ([argv, status, stderr], context) => {
    expect(await inLab(context, argv)).toEqual({ status, stdout: '', stderr });
  });

  it('reads standard input to its end, and long output comes whole', async (context) => {
    const input = Buffer.alloc(3_000_000, 'input that is longer than any buffer on the way\n');
    const { status, stdout } = await inLab(context, ['sh', '-c', 'cat; echo end'], { input });
    expect(status).toBe(0);
    expect(createHash('sha1').update(stdout).digest('hex')).toBe(
      createHash('sha1').update(input).update('end\n').digest('hex'),
    );
  });

  it('shows output when it comes', async (context) => {
    const script = 'echo first; sleep 100';
    const { stdout } = await inLab(context, ['sh', '-c', script], { enough: (text) => text === 'first\n' });
    expect(stdout).toBe('first\n');
  });

  it('sees what has changed outside since the last one', async (context) => {
    const path = join(scratch, 'file');
    for (const [index, text] of ['short', 'a longer text', 'replaced'].entries()) {
      writeFileSync(`${path}.new`, text);
      if (index === 1) writeFileSync(path, text);
      else renameSync(`${path}.new`, path);
      expect((await inLab(context, ['cat', path])).stdout).toBe(text);
    }
    rmSync(path);
    expect((await inLab(context, ['cat', path])).status).toBe(1);
  });

  it('writes to memory only, except to the folder of --out', async (context) => {
    const out = join(needsLab(context), 'out');
    const script = 'echo text >"$1/inside" && cat "$1/inside" && echo result >"$2/result"';
    const { stdout } = await inLab(context, ['sh', '-c', script, 'sh', scratch, out]);
    expect(stdout).toBe('text\n');
    expect(existsSync(join(scratch, 'inside'))).toBe(false);
    expect(readFileSync(join(out, 'result'), 'utf8')).toBe('result\n');
  });
});

describe('the end of a command', () => {
  const isRunning = 'grep -q "^sleep.$1" /proc/[0-9]*/cmdline';

  it('ends what it left in the background', async (context) => {
    await inLab(context, ['sh', '-c', 'sleep 10001 & setsid sleep 10001 &']);
    expect((await inLab(context, ['sh', '-c', isRunning, 'sh', '10001'])).status).not.toBe(0);
  });

  it('comes with the end of its caller', async (context) => {
    const script = 'sleep 10002 & echo started; wait';
    await inLab(context, ['sh', '-c', script], { enough: (text) => text === 'started\n' });
    // The agent may need a moment to see that nobody is there.
    await inLab(context, ['sleep', '2']);
    expect((await inLab(context, ['sh', '-c', isRunning, 'sh', '10002'])).status).not.toBe(0);
  });

  it('comes with its time limit, with a status of its own and a line that says so', async (context) => {
    const argv = ['--in', needsLab(context), '--timeout', '2', 'sh', '-c', 'echo started; sleep 10003'];
    expect(await labScript(argv)).toEqual({
      status: 124,
      stdout: 'started\n',
      stderr: 'lab: time-out: the command was ended\n',
    });
  });
});

describe('several commands', () => {
  it('run at once, and more than four wait', async (context) => {
    const runs = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((number) =>
        inLab(context, ['sh', '-c', `sleep 1; echo ${number}; exit ${number}`]),
      ),
    );
    expect(runs.map(({ status, stdout }) => [status, stdout.trim()])).toEqual(
      [1, 2, 3, 4, 5, 6].map((number) => [number, `${number}`]),
    );
  });
});

describe('a lab of its own', () => {
  it('has the size that was asked for, and ends with the command', async (context) => {
    needsLab(context);
    const script = 'nproc; grep HugePages_Total /proc/meminfo; pwd; exit 3';
    const options = ['--cpus', '1', '--memory', '1024', '--hugepages', '8', '--timeout', '60'];
    const { status, stdout } = await labScript([...options, 'sh', '-c', script], { cwd: scratch });
    expect(stdout).toBe(`1\nHugePages_Total:       8\n${scratch}\n`);
    expect(status).toBe(3);
  });

  it('ends on SIGTERM, and leaves neither process nor file', async (context) => {
    needsLab(context);
    const env = { ...process.env, TMPDIR: mkdtempSync(join(scratch, 'tmp-')) };
    const argv = ['--memory', '1024', 'sh', '-c', 'echo started; sleep 1000'];
    const outcome = await labScript(argv, { env, enough: (text) => text === 'started\n' });
    expect(outcome).toEqual({ status: 143, stdout: 'started\n', stderr: '' });
    expect(processesWith(env.TMPDIR)).toEqual([]);
    expect(readdirSync(env.TMPDIR)).toEqual([]);
  });

  it('that does not boot has a status of its own, and the end of what QEMU said', async (context) => {
    needsLab(context);
    // In place of the program that starts QEMU.
    writeFileSync(join(scratch, 'setpriv'), '#!/bin/sh\necho the machine is broken\n', { mode: 0o755 });
    const env = { ...process.env, PATH: `${scratch}:${process.env.PATH}` };
    const { status, stderr } = await labScript(['true'], { env });
    expect(status).toBe(125);
    expect(stderr).toContain('lab: the lab does not boot: QEMU ended\n    the machine is broken\n');
  });
});
