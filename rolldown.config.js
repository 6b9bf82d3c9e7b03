// The compiled program is a few files: starting Node.js with a hundred small modules takes longer than building a guest.
const common = {
  platform: 'node',
  // Loaded only by runs that log; it brings files of its own.
  external: ['pino'],
};

/** A library of ES modules. */
const library = {
  ...common,
  input: { index: 'src/index.ts', kvm: 'src/kvm/api/index.ts', mgmt: 'src/mgmt/index.ts' },
  output: {
    dir: 'dist',
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name].js',
    sourcemap: true,
  },
};

/** One file of CommonJS, which Node.js loads without the machinery of ES modules. */
function single(input, file) {
  return { ...common, input, output: { file, format: 'cjs', codeSplitting: false, sourcemap: true } };
}

export default [
  library,
  single('src/cli/start.ts', 'dist/cli/main.js'),
  single('src/xenner/domain/worker-start.ts', 'dist/worker.cjs'),
  // `xenner create` starts it for each domain.
  single('src/cli/domain-start.ts', 'dist/domain-process.cjs'),
  // What they run: see src/base/program.ts.
  single('src/cli/main.ts', 'dist/cli/program.js'),
  single('src/cli/guest-main.ts', 'dist/cli/guest-program.js'),
  single('src/cli/domain-process.ts', 'dist/domain-program.js'),
  single('src/xenner/domain/worker.ts', 'dist/worker-program.js'),
];
