import { defineConfig } from 'vitest/config';

/** One lab for all; vitest itself stays outside, where JavaScript is ten times as fast. */
export default defineConfig({
  test: {
    include: ['test/lab/*.test.ts'],
    globalSetup: ['test/lab/lib/serve.ts'],
    // Longer than the time limits of commands, which know better what took so long.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    fileParallelism: false,
    pool: 'forks',
  },
});
