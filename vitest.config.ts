import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Guests are CPU-bound: more workers than cores only makes each slower.
    maxWorkers: 2,
    pool: 'forks',
  },
});
