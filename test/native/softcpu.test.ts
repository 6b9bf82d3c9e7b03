/** The soft CPU's own tests (native/softcpu/test): bare-metal guests in C and assembly, one line of output each. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../native/softcpu/test.sh', import.meta.url));
/** test.sh's status when QEMU's source cannot be had. */
const NO_SOURCE = 3;

interface Outcome {
  status: number;
  output: string;
}

function run(): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile('bash', [SCRIPT], { timeout: 600_000 }, (error, stdout, stderr) => {
      const status = error ? (typeof error.code === 'number' ? error.code : 1) : 0;
      resolve({ status, output: `${stdout}${status === 0 ? '' : stderr}` });
    });
  });
}

const { status, output } = await run();
/** Every test's line, with the failed checks that were printed before it. */
const results = [...output.matchAll(/^((?: {2}.*\n)*)(ok|FAIL) (.*) \(\d+ ms\)$/gm)].map((match) => ({
  name: match[3] ?? '',
  failures: match[2] === 'ok' ? '' : (match[1] ?? 'failed'),
}));

describe.skipIf(status === NO_SOURCE)("the soft CPU's own tests", () => {
  it.each(results)('$name', ({ failures }) => {
    expect(failures).toBe('');
  });

  it('all of them ran to the end', () => {
    expect(output).toMatch(/^\d+ passed, 0 failed$/m);
    expect(status).toBe(0);
    expect(results.length).toBeGreaterThan(40);
  });
});
