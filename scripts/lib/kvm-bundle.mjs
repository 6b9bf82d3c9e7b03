// src/kvm as one file that Node.js runs: it is in none of dist's by itself. For benchmarks, and for tests in processes of their own.
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** @param {string} file to be written; whoever imports it sets XENNER_BUILT, or does so in this process */
export async function bundleKvm(file) {
  process.env.XENNER_BUILT ??= `${ROOT}build/Release`;
  const bundle = await rolldown({
    input: `${ROOT}src/kvm/index.ts`,
    platform: 'node',
    resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
  });
  await bundle.write({ file });
  await bundle.close();
}
