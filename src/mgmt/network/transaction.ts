/**
 * Changes that can be taken back. The state folder has `snapshot.json` from begin to commit or rollback, and `journal.json` while
 * several files are written: whoever finds one that nobody works on takes the change back.
 */
import { existsSync, mkdirSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile, syncDirectory } from '../../base/files.js';
import { newUuid } from '../../xenner/domain/identity.js';
import { assemble, type Changes, type ConfigSystem, flatten } from './config/config-system.js';
import { readConfig, writeConfig } from './config/host-files.js';
import { systemByName } from './config/systems.js';
import { InterfaceError } from './errors.js';
import { type LiveSnapshot, restoreLive, snapshotLive } from './restore.js';

interface Saved {
  readonly id: string;
  readonly system: string;
  /** null: there was no such file. */
  readonly files: readonly (readonly [path: string, text: string | null])[];
}

interface Snapshot extends Saved {
  readonly live: LiveSnapshot;
}

/** All methods want the lock of HostInterfaces to be held. */
export class Transactions {
  constructor(
    private readonly folder: string,
    private readonly root: string,
    private readonly report: (line: string) => void,
  ) {}

  /** Writes files so that, after whatever end of this process, all of them are changed or none. */
  change(system: ConfigSystem, changes: Changes): void {
    const before = readConfig(system, this.root);
    const files = [...changes.keys()].map((path) => [path, before.get(path) ?? null] as const);
    this.#save('journal', { id: newUuid(), system: system.name, files });
    try {
      writeConfig(this.root, changes);
    } catch (error) {
      this.recover();
      throw error;
    }
    this.#remove('journal');
  }

  /** Takes back what a process has left half done. */
  recover(): void {
    const journal = this.#load<Saved>('journal');
    if (journal === undefined) return;
    writeConfig(this.root, new Map(journal.files.map(([path, text]) => [path, text ?? undefined])));
    this.#remove('journal');
    this.report(
      `a change of ${journal.files.map(([path]) => path).join(', ')} was left half done, and is taken back`,
    );
  }

  /** Returns an id. @throws InterfaceError VIR_ERR_OPERATION_INVALID where there is one already */
  begin(system: ConfigSystem): string {
    if (existsSync(this.#path('snapshot')))
      throw new InterfaceError(
        'VIR_ERR_OPERATION_INVALID',
        'there is a change under way already',
        "'xenner iface-commit' or 'xenner iface-rollback' ends it",
      );
    const id = newUuid();
    const files = [...readConfig(system, this.root)];
    this.#save('snapshot', { id, system: system.name, files, live: snapshotLive() } satisfies Snapshot);
    return id;
  }

  commit(): void {
    this.#snapshot();
    this.#remove('snapshot');
  }

  /** Whether it is the one of this id that is under way. */
  isUnderWay(id: string): boolean {
    return this.#load<Snapshot>('snapshot')?.id === id;
  }

  /** Files first, so that a restart in the middle finds the old ones; the snapshot goes when all is done. */
  rollback(): void {
    const { system: name, files, live } = this.#snapshot();
    const system = systemByName(name);
    const now = readConfig(system, this.root);
    const old = new Map(files);
    const changes: Changes = new Map();
    for (const path of now.keys()) if (!old.has(path)) changes.set(path, undefined);
    for (const [path, text] of files) if (now.get(path) !== text) changes.set(path, text ?? undefined);
    const namesOf = () =>
      assemble(system.read(readConfig(system, this.root))).flatMap((each) =>
        flatten(each).map((part) => part.name),
      );
    const before = namesOf();
    writeConfig(this.root, changes);
    restoreLive(live, new Set([...before, ...namesOf()]));
    this.#remove('snapshot');
  }

  #snapshot(): Snapshot {
    const snapshot = this.#load<Snapshot>('snapshot');
    if (snapshot !== undefined) return snapshot;
    throw new InterfaceError(
      'VIR_ERR_OPERATION_INVALID',
      'there is no change under way',
      "'xenner iface-begin' begins one",
    );
  }

  #path(name: 'journal' | 'snapshot'): string {
    return join(this.folder, `${name}.json`);
  }

  #save(name: 'journal' | 'snapshot', saved: Saved | Snapshot): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    const path = this.#path(name);
    replaceFile(path, Buffer.from(JSON.stringify(saved)), { staged: `${path}.new`, mode: 0o600 });
  }

  #remove(name: 'journal' | 'snapshot'): void {
    unlinkSync(this.#path(name));
    syncDirectory(this.folder);
  }

  #load<T>(name: 'journal' | 'snapshot'): T | undefined {
    const path = this.#path(name);
    if (!existsSync(path)) return undefined;
    try {
      return JSON.parse(readFileSync(path, 'utf8')) as T;
    } catch (cause) {
      throw new InterfaceError('VIR_ERR_OPERATION_FAILED', `${path} is damaged`, 'remove it', { cause });
    }
  }
}
