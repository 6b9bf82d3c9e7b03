/**
 * Where live domains are found: one folder of this user's, in it one for each domain, named by its domid, with a lock that the
 * domain's process holds. There is no daemon: a folder whose lock nobody holds is what a killed process left, and whoever meets it
 * removes it. Only under the directory's own lock are folders made, removed or given other names.
 */
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { XennerError } from '../../../base/errors.js';
import { isRangeShared, shareRange } from '../../../kvm/index.js';
import { DOMID_FIRST_RESERVED } from '../../../xenner/abi/xen.js';
import { checkDomainName } from '../../../xenner/domain/identity.js';
import type { EndReason } from '../../../xenner/domain/messages.js';
import { runtimeDirectory } from '../../state/directories.js';
import { exclusively, openLock } from '../../state/exclusively.js';

export type LiveState = 'running' | 'paused' | 'shutdown';

/** What is known of a live domain without asking it. */
export interface DomainRecord {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
  readonly pid: number;
  readonly memoryMiB: number;
  readonly vcpus: number;
  readonly state: LiveState;
  /** Of a guest that was shut down. */
  readonly shutdownReason?: EndReason;
  /** Where all of its memory is; undefined: anywhere. */
  readonly numaNode?: number;
  /** Its guest, the last time; milliseconds since 1970. */
  readonly startedAt: number;
}

export interface FoundDomain extends DomainRecord {
  /** Its folder. */
  readonly path: string;
}

/** Files of a domain's folder. */
export const FILES = {
  lock: 'lock',
  record: 'domain.json',
  control: 'control',
  console: 'console',
  xenstore: 'xenstored',
  log: 'log',
} as const;

function isAlive(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(join(path, FILES.lock), constants.O_RDONLY);
  } catch {
    return false;
  }
  try {
    return isRangeShared(fd, 0, 1);
  } finally {
    closeSync(fd);
  }
}

function folders(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => /^[1-9]\d{0,4}$/.test(name))
    .sort((a, b) => Number(a) - Number(b));
}

/** undefined: it is gone meanwhile. */
function readRecord(path: string): FoundDomain | undefined {
  try {
    return { ...(JSON.parse(readFileSync(join(path, FILES.record), 'utf8')) as DomainRecord), path };
  } catch {
    return undefined;
  }
}

function sweep(directory: string): FoundDomain[] {
  const found: FoundDomain[] = [];
  for (const name of folders(directory)) {
    const path = join(directory, name);
    const record = isAlive(path) ? readRecord(path) : undefined;
    if (record !== undefined) found.push(record);
    else rmSync(path, { recursive: true, force: true });
  }
  return found;
}

/** By domid. */
export async function liveDomains(directory = runtimeDirectory()): Promise<FoundDomain[]> {
  const paths = folders(directory).map((name) => join(directory, name));
  if (!paths.every(isAlive)) return exclusively(join(directory, FILES.lock), () => sweep(directory));
  return paths.map(readRecord).filter((record) => record !== undefined);
}

/** By domid or name, as xl takes either. @throws XennerError (rejection) ENO_DOMAIN */
export async function findDomain(which: string): Promise<FoundDomain> {
  return pick(await liveDomains(), which);
}

/** Those that are named; where none is, all. @throws XennerError (rejection) ENO_DOMAIN */
export async function findDomains(which: readonly string[]): Promise<FoundDomain[]> {
  const domains = await liveDomains();
  return which.length === 0 ? domains : which.map((each) => pick(domains, each));
}

function pick(domains: readonly FoundDomain[], which: string): FoundDomain {
  const found =
    domains.find(({ domid }) => String(domid) === which) ?? domains.find(({ name }) => name === which);
  if (found !== undefined) return found;
  throw new XennerError(
    'ENO_DOMAIN',
    `there is no domain ${JSON.stringify(which.slice(0, 80))}`,
    "'xenner list' shows those that run",
  );
}

function checkFree(domains: readonly DomainRecord[], name: string): void {
  const other = domains.find((domain) => domain.name === name);
  if (other !== undefined)
    throw new XennerError('EDOMAIN_EXISTS', `domain ${name} runs already, with ID ${other.domid}`);
}

/** A number that was not in use lately, as Xen's domctl gives them out. */
function nextDomid(directory: string, used: readonly number[]): number {
  const file = join(directory, 'last-domid');
  let last = 0;
  try {
    last = Number.parseInt(readFileSync(file, 'latin1'), 10) || 0;
  } catch {}
  for (let step = 1; step < DOMID_FIRST_RESERVED; step++) {
    const domid = 1 + ((last + step - 1) % (DOMID_FIRST_RESERVED - 1));
    if (used.includes(domid)) continue;
    writeFileSync(file, `${domid}\n`, { mode: 0o600 });
    return domid;
  }
  throw new XennerError('EDOMIDS', 'there are as many domains as there can be');
}

/** A domain's folder, as the domain's own process has it. */
export class DomainFolder {
  #record: DomainRecord;

  private constructor(
    private readonly directory: string,
    readonly path: string,
    private readonly lock: number,
    record: DomainRecord,
  ) {
    this.#record = record;
    this.#write();
  }

  /** Makes it, under a domid that nobody has. @throws XennerError (rejection) EDOMAIN_EXISTS, EDOMAIN_NAME, ERUNDIR, EBUSY */
  static claim(
    record: Pick<DomainRecord, 'name' | 'uuid' | 'memoryMiB' | 'vcpus' | 'numaNode'>,
  ): Promise<DomainFolder> {
    checkDomainName(record.name);
    const directory = runtimeDirectory();
    return exclusively(join(directory, FILES.lock), () => {
      const domains = sweep(directory);
      checkFree(domains, record.name);
      const domid = nextDomid(
        directory,
        domains.map((domain) => domain.domid),
      );
      const path = join(directory, String(domid));
      mkdirSync(path, { mode: 0o700 });
      const lock = openLock(join(path, FILES.lock));
      shareRange(lock, 0, 1);
      const now = { domid, pid: process.pid, state: 'running', startedAt: Date.now() } as const;
      return new DomainFolder(directory, path, lock, { ...record, ...now });
    });
  }

  get record(): DomainRecord {
    return this.#record;
  }

  file(name: keyof typeof FILES): string {
    return join(this.path, FILES[name]);
  }

  setState(state: LiveState, more: Partial<Pick<DomainRecord, 'shutdownReason' | 'startedAt'>> = {}): void {
    this.#record = { ...this.#record, state, ...more };
    this.#write();
  }

  /** @throws XennerError (rejection) EDOMAIN_EXISTS, EDOMAIN_NAME */
  async rename(name: string, uuid = this.#record.uuid): Promise<void> {
    checkDomainName(name);
    await exclusively(join(this.directory, FILES.lock), () => {
      checkFree(
        sweep(this.directory).filter(({ domid }) => domid !== this.#record.domid),
        name,
      );
      this.#record = { ...this.#record, name, uuid };
      this.#write();
    });
  }

  /** The name is free from now on. */
  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
    closeSync(this.lock);
  }

  /** Whole, whoever reads it meanwhile. */
  #write(): void {
    const path = this.file('record');
    writeFileSync(`${path}.new`, `${JSON.stringify(this.#record)}\n`, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
}
