/** Where the built parts of xenner are. The compiled files are bundled, so nothing may count on its own place. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

let root: string | undefined;

/** The package's folder: the nearest one above this file that has a dist/. */
function packageRoot(): string {
  if (root !== undefined) return root;
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'dist')) && folder !== dirname(folder)) folder = dirname(folder);
  root = folder;
  return root;
}

/** A file that native/ was built to, by its name. XENNER_BUILT names another build's folder (scripts/sanitize.sh). */
export function builtFile(name: string): string {
  return join(process.env.XENNER_BUILT ?? join(packageRoot(), 'build/Release'), name);
}

/** A compiled entry point below dist/: `worker.cjs`. */
export function compiledFile(name: string): string {
  return join(packageRoot(), 'dist', name);
}
