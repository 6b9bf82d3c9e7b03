import { defineConfig } from 'vitest/config';

/** The files *.netns.ts, which network.test.ts runs in a network namespace of their own. */
export default defineConfig({
  test: {
    include: ['test/net/*.netns.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    fileParallelism: false,
    pool: 'forks',
  },
});
