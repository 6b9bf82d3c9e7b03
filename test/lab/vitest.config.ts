import { defineConfig } from 'vitest/config';

/**
 * The files *.lab.ts: they run outside, where JavaScript is ten times as fast, and have one lab for their commands. The
 * tests of test/kvm run wherever there is a KVM; kvm-api.lab.ts runs them in the lab.
 */
export default defineConfig({
  test: {
    include: ['test/lab/*.lab.ts'],
    globalSetup: ['test/lab/lib/serve.ts'],
    // Longer than the time limits of commands, which know better what took so long.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    fileParallelism: false,
    pool: 'forks',
  },
});
