/** The tests of xenner/kvm on a real KVM. They run on any, as part of the ordinary tests, but skip what it lacks. */
import { expect, it } from 'vitest';
import { inLab } from './lib/lab.js';

it('test/lab/*.test.ts pass inside', async (context) => {
  const vitest = ['node_modules/.bin/vitest', 'run', '--maxWorkers=1', '--no-isolate', 'test/lab'];
  const { status, stdout, stderr } = await inLab(context, vitest, {
    timeoutS: 280,
    env: { ...process.env, NO_COLOR: '1' },
  });
  expect(status, `${stdout}\n${stderr}`).toBe(0);
  expect(stdout).toMatch(/^ *Tests +\d+ passed \(\d+\)$/m);
});
