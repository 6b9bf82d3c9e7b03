/** FileIo in processes of its own: which engine it finds, how long it keeps a process alive, and what a limit on files does. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleKvm } from '../../scripts/lib/kvm-bundle.mjs';
import { ENGINES, engineReason } from './file-io-engines.js';

const run = promisify(execFile);

let dir: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'xenner-file-io-'));
  await bundleKvm(join(dir, 'kvm.mjs'));
  execFileSync('gcc', [
    '-Wall',
    '-o',
    join(dir, 'no-uring'),
    new URL('no-uring.c', import.meta.url).pathname,
  ]);
});
afterAll(() => rmSync(dir, { recursive: true }));

/** What a script says that has FileIo and `file`, a path; `wrapped` runs it. */
async function script(source: string, wrapped: readonly string[] = []): Promise<string> {
  const main = join(dir, 'main.mjs');
  writeFileSync(join(dir, 'file'), '');
  writeFileSync(
    main,
    `import { openSync } from 'node:fs';
    import { FileIo } from ${JSON.stringify(join(dir, 'kvm.mjs'))};
    const file = ${JSON.stringify(join(dir, 'file'))};
    ${source}`,
  );
  const [program = '', ...args] = [...wrapped, process.execPath, main];
  return (await run(program, args, { timeout: 60_000 })).stdout.trim();
}

describe('where io_uring is forbidden', () => {
  it('threads do the work', async () => {
    const source = `
      const io = new FileIo();
      const into = new Uint8Array(4);
      console.log(io.engine, await io.readv(openSync('/dev/zero'), [into], 0));
      await io.close();`;
    expect(await script(source, [join(dir, 'no-uring')])).toBe('threads 4');
  });
  it('asking for it says so', async () => {
    const source = `
      try { new FileIo({ engine: 'io_uring' }); } catch (error) { console.log(error.code, error.message); }`;
    expect(await script(source, [join(dir, 'no-uring')])).toBe(
      'ENO_URING this host has no io_uring for us (EPERM); set kernel.io_uring_disabled to 0, or use threads',
    );
  });
});

describe.each(ENGINES)('%s', (engine) => {
  const skip = engineReason(engine);
  const test = it.skipIf(skip !== undefined);

  test(`keeps a process alive as long as something is under way${skip ? ` (skipped: ${skip})` : ''}`, async () => {
    const source = `
      const io = new FileIo({ engine: '${engine}' });
      const fd = openSync('/dev/zero');
      const into = new Uint8Array(64 << 20);
      io.readv(fd, [into], 0).then((count) => console.log(count));`;
    expect(await script(source)).toBe(`${64 << 20}`);
  });

  test('a write that stops half-way fails, and what was written is there', async () => {
    const source = `
      const io = new FileIo({ engine: '${engine}' });
      const parts = [1, 2, 3].map((value) => new Uint8Array(4096).fill(value));
      await io.writev(openSync(file, 'w'), parts, 0).catch((error) => console.log(error.code));`;
    expect(await script(source, ['prlimit', '--fsize=10000'])).toBe('EFBIG');
    const written = readFileSync(join(dir, 'file'));
    expect([written.length, written[4095], written[4096], written[9999]]).toEqual([10_000, 1, 2, 3]);
  });
});

const noUring = engineReason('io_uring');
// Only io_uring reads what has no positions.
it.skipIf(noUring !== undefined)(
  `io_uring: a request that waits alone keeps nobody else waiting${noUring ? ` (skipped: ${noUring})` : ''}`,
  async () => {
    const source = `
      import { execFileSync } from 'node:child_process';
      import { writeSync } from 'node:fs';
      execFileSync('mkfifo', [file + '.fifo']);
      const fd = openSync(file + '.fifo', 'r+');
      const into = new Uint8Array(8);
      new FileIo({ engine: 'io_uring' }).readv(fd, [into], 0).then((count) => console.log(count, into[7]));
      // It is begun in one of these turns.
      for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate);
      writeSync(fd, new Uint8Array(8).fill(5));`;
    expect(await script(source)).toBe('8 5');
  },
);
