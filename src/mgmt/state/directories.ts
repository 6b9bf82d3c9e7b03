/** The folders that everything of this user's is kept in: what lasts, what a restart of the host ends, and cores. */
import { mkdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { XennerError } from '../../base/errors.js';

/** What runs. @throws XennerError ERUNDIR */
export function runtimeDirectory(): string {
  const path = chosenDirectory();
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const { uid, mode } = statSync(path);
  if (uid !== process.getuid!() || (mode & 0o077) !== 0)
    throw new XennerError('ERUNDIR', `${path} is not this user's alone`, `chown and chmod 0700 it`);
  return path;
}

function chosenDirectory(): string {
  const { XENNER_RUN_DIR, XDG_RUNTIME_DIR } = process.env;
  if (XENNER_RUN_DIR) return resolve(XENNER_RUN_DIR);
  if (process.getuid!() === 0) return '/run/xenner';
  if (XDG_RUNTIME_DIR) return resolve(XDG_RUNTIME_DIR, 'xenner');
  throw new XennerError(
    'ERUNDIR',
    'neither XENNER_RUN_DIR nor XDG_RUNTIME_DIR says where to keep what runs',
    'set XENNER_RUN_DIR to a folder of your own',
  );
}

/** Definitions. Whoever writes there makes it. */
export function configDirectory(): string {
  const { XENNER_CONFIG_DIR, XDG_CONFIG_HOME } = process.env;
  if (XENNER_CONFIG_DIR) return resolve(XENNER_CONFIG_DIR);
  if (process.getuid!() === 0) return '/etc/xenner';
  return resolve(XDG_CONFIG_HOME || resolve(homedir(), '.config'), 'xenner');
}

/** Where cores go that on_crash and the like ask for; whoever writes there makes it. */
export function dumpDirectory(): string {
  const { XENNER_DUMP_DIR, XDG_STATE_HOME } = process.env;
  if (XENNER_DUMP_DIR) return resolve(XENNER_DUMP_DIR);
  if (process.getuid!() === 0) return '/var/lib/xenner/dump';
  return resolve(XDG_STATE_HOME || join(homedir(), '.local/state'), 'xenner/dump');
}
