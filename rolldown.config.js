// The compiled program is a few files: starting Node.js with a hundred small modules takes longer than building a guest.
export default {
  platform: 'node',
  input: {
    'cli/main': 'src/cli/main.ts',
    index: 'src/index.ts',
    kvm: 'src/kvm/api/index.ts',
    worker: 'src/xenner/domain/worker.ts',
  },
  // Loaded only by runs that log; it brings files of its own.
  external: ['pino'],
  output: {
    dir: 'dist',
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name].js',
    sourcemap: true,
  },
};
