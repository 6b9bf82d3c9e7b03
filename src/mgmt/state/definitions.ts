/**
 * Definitions of objects, each a document in a file of its own: NAME.xml, and autostart/NAME.xml, a link to it, for what is to be
 * started with the host. A file appears whole, or not at all. What cannot be read is set aside under a name of its own, and told.
 * Whoever writes has to hold a lock of the folder's (exclusively.ts): one process writes at a time, any number read.
 */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { XennerError } from '../../base/errors.js';
import { replaceFile, syncDirectory } from '../../base/files.js';
import { MAX_CONFIG_BYTES, MAX_DEFINITION_NAME_BYTES, MAX_DEFINITIONS } from '../../base/limits.js';

export interface Codec<T> {
  /** @throws XennerError for what is no such document */
  read(text: string): T;
  write(definition: T): string;
}

const SUFFIX = '.xml';
/** Begins with a dot, which no definition's file does. */
const NEW = '.new';

/** Whether a definition may have the name: it becomes a part of a path. */
export function isFileName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are meant
  if (name === '' || /^\.|[/\x00-\x1f\x7f]/.test(name)) return false;
  return Buffer.byteLength(name) <= MAX_DEFINITION_NAME_BYTES;
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;

/** Undefined where there is none. */
function unlessMissing<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

export class Definitions<T extends { readonly name: string }> {
  readonly #damaged = new Set<string>();

  /** @param report is told of files that were set aside, a line each */
  constructor(
    readonly folder: string,
    private readonly codec: Codec<T>,
    private readonly report: (line: string) => void,
  ) {}

  /** Of all that can be read. */
  names(): string[] {
    const names = (unlessMissing(() => readdirSync(this.folder)) ?? [])
      .filter((file) => file.endsWith(SUFFIX))
      .map((file) => file.slice(0, -SUFFIX.length))
      .filter(isFileName);
    return names.sort().slice(0, MAX_DEFINITIONS);
  }

  /** Undefined: there is none, or it is damaged; mend() then sets it aside. @throws system errors */
  get(name: string): T | undefined {
    if (!isFileName(name)) return undefined;
    try {
      return this.#read(name);
    } catch (error) {
      if (!(error instanceof XennerError)) throw error;
      this.#damaged.add(name);
      return undefined;
    }
  }

  /** Something was read that is damaged. */
  get isDamaged(): boolean {
    return this.#damaged.size > 0;
  }

  /** Sets aside what get() found damaged, and still is: under another name nobody reads it, and somebody may mend it. */
  mend(): void {
    for (const name of this.#damaged) {
      try {
        this.#read(name);
      } catch (error) {
        const path = this.#path(name);
        const aside = `${path}.damaged-${Date.now()}`;
        renameSync(path, aside);
        syncDirectory(this.folder);
        this.report(`${path} is damaged: ${(error as Error).message}; it was set aside as ${aside}`);
      }
      this.#damaged.delete(name);
    }
  }

  all(): T[] {
    return this.names()
      .map((name) => this.get(name))
      .filter((definition) => definition !== undefined);
  }

  /** On the disk when it returns. The name must be one that isFileName() lets pass. @throws system errors */
  put(definition: T): void {
    this.get(definition.name);
    this.mend();
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    const bytes = Buffer.from(this.codec.write(definition), 'utf8');
    replaceFile(this.#path(definition.name), bytes, { staged: join(this.folder, NEW), mode: 0o600 });
  }

  /** And its mark. Nothing happens where there is none. */
  remove(name: string): void {
    this.setAutostart(name, false);
    if (unlessMissing(() => unlinkSync(this.#path(name))) === undefined && !this.#exists(this.folder)) return;
    syncDirectory(this.folder);
  }

  isAutostarted(name: string): boolean {
    return this.#exists(this.#mark(name));
  }

  setAutostart(name: string, on: boolean): void {
    if (this.isAutostarted(name) === on) return;
    const marks = join(this.folder, 'autostart');
    mkdirSync(marks, { recursive: true, mode: 0o700 });
    if (on) symlinkSync(this.#path(name), this.#mark(name));
    else unlinkSync(this.#mark(name));
    syncDirectory(marks);
  }

  #exists(path: string): boolean {
    return unlessMissing(() => lstatSync(path)) !== undefined;
  }

  #path(name: string): string {
    return join(this.folder, `${name}${SUFFIX}`);
  }

  #mark(name: string): string {
    return join(this.folder, 'autostart', `${name}${SUFFIX}`);
  }

  #read(name: string): T | undefined {
    const path = this.#path(name);
    const size = unlessMissing(() => statSync(path).size);
    if (size === undefined) return undefined;
    if (size > MAX_CONFIG_BYTES) throw new XennerError('ECONFIG_SIZE', `it has ${size} bytes`);
    const definition = this.codec.read(readFileSync(path, 'utf8'));
    if (definition.name === name) return definition;
    throw new XennerError('ECONFIG_NAME', `it is of ${JSON.stringify(definition.name.slice(0, 80))}`);
  }
}
