/** `--gdb` on KVM: what test/gdb does on the soft engine, done inside. */
import { expect, it } from 'vitest';
import { debuggedKernel, missingGdb } from '../gdb/guest.js';
import { inLab } from './lib/lab.js';

it('debugs a PV kernel on KVM with GDB', { timeout: 900_000 }, async (context) => {
  const missing = missingGdb();
  if (missing !== undefined) return context.skip(missing);
  debuggedKernel(); // out here: the compiler takes its time inside
  const vitest = ['node_modules/.bin/vitest', 'run', '--pool=threads', '--no-isolate', '--maxWorkers=1'];
  const argv = ['env', 'XENNER_GDB_TEST_ENGINE=kvm', ...vitest, '--no-color', 'test/gdb/gdb.test.ts'];
  const { status, stdout, stderr } = await inLab(context, argv, { timeoutS: 800 });
  expect(status, `${stdout}\n${stderr}`).toBe(0);
  expect(stdout).toMatch(/ Tests +\d{2} passed \(\d+\)$/m);
});
