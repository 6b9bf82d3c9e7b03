/** The host's configuration files: read as they stand, byte for byte, and changed whole or not at all. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { replaceFile, syncDirectory } from '../../../base/files.js';
import { MAX_NETWORK_FILE_BYTES, MAX_NETWORK_FILES } from '../../../base/limits.js';
import { InterfaceError, quoted } from '../errors.js';
import type { Changes, ConfigSystem, Files } from './config-system.js';

/** Each byte is a character, so that what others wrote stays what it is, whatever its encoding. */
const ENCODING = 'latin1';
/** Nobody reads a file of such a name: not networkd, nor ifupdown (run-parts' names), nor we. */
const NEW_SUFFIX = '.xenner-new~';

/** @param root of the host; a test's own folder */
export function isInUse(system: ConfigSystem, root: string): boolean {
  return system.signs.some((sign) => matching(root, sign).length > 0);
}

/** @throws InterfaceError VIR_ERR_OPERATION_FAILED where there are too many, or too large ones */
export function readConfig(system: ConfigSystem, root: string): Files {
  const paths = system.patterns.flatMap((pattern) => matching(root, pattern));
  const refuse = (what: string) =>
    new InterfaceError('VIR_ERR_OPERATION_FAILED', `${system.name}'s configuration: ${what}`);
  if (paths.length > MAX_NETWORK_FILES) throw refuse(`there are ${paths.length} files`);
  const files = new Map<string, string>();
  for (const path of paths) {
    const stat = statSync(join(root, path), { throwIfNoEntry: false });
    if (!stat?.isFile()) continue;
    if (stat.size > MAX_NETWORK_FILE_BYTES) throw refuse(`${path} has ${stat.size} bytes`);
    files.set(path, readFileSync(join(root, path), ENCODING));
  }
  return files;
}

/** Those that there are; `*` is in the last part only. */
function matching(root: string, pattern: string): string[] {
  const [folder, file] = [dirname(pattern), basename(pattern)];
  const star = file.indexOf('*');
  if (star < 0) return existsSync(join(root, pattern)) ? [pattern] : [];
  const suffix = file.slice(star + 1);
  let names: string[];
  try {
    names = readdirSync(join(root, folder));
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith(suffix) && !name.endsWith('~') && !name.startsWith('.'))
    .sort()
    .map((name) => `${folder}/${name}`);
}

/** Each file is the old or the new one at any moment; several are told apart by a journal (transaction.ts). @throws InterfaceError */
export function writeConfig(root: string, changes: Changes, mode = 0o644): void {
  for (const [path, text] of changes) {
    try {
      if (text === undefined) remove(join(root, path));
      else replace(join(root, path), text, mode);
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      const next = code === 'EACCES' || code === 'EPERM' ? 'run it as root' : undefined;
      throw new InterfaceError('VIR_ERR_SYSTEM_ERROR', `cannot write ${quoted(path)}: ${message}`, next, {
        cause,
      });
    }
  }
}

function remove(path: string): void {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return;
  unlinkSync(path);
  syncDirectory(dirname(path));
}

/** A link's file is written, not the link. */
function replace(path: string, text: string, mode: number): void {
  mkdirSync(dirname(path), { recursive: true });
  const target = existsSync(path) ? realpathSync(path) : path;
  const stat = statSync(target, { throwIfNoEntry: false });
  replaceFile(target, Buffer.from(text, ENCODING), {
    staged: `${target}${NEW_SUFFIX}`,
    mode: stat === undefined ? mode : stat.mode & 0o7777,
  });
}
