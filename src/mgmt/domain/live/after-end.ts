/** What becomes of a domain whose guest has ended: on_poweroff, on_reboot, on_crash and on_watchdog of its definition. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { formatCrash } from '../../../xenner/domain/crash.js';
import type { DomainEnd, Remains } from '../../../xenner/domain/domain.js';
import { newUuid } from '../../../xenner/domain/identity.js';
import { dumpDirectory } from '../../state/directories.js';
import type { Action, DomainDefinition } from '../definition.js';
import type { LiveOptions, Say } from './live-domain.js';
import { type DomainFolder, liveDomains } from './runtime-directory.js';
import { spawnDomain } from './spawn.js';

/** Of one domain, by rename-restart: each keeps a guest's memory, and a guest can crash as often as it likes. */
const MAX_PRESERVED = 3;
const MAX_NAME = 64;

/** What the domain's own process has to do then. */
export type Next = 'destroy' | 'restart' | 'preserve';

export interface EndedDomain {
  readonly folder: DomainFolder;
  /** With the devices that it has now. */
  readonly definition: DomainDefinition;
  readonly options: LiveOptions;
  readonly say: Say;
  /** Disks and networks are free for another process. */
  closeDevices(): Promise<void>;
}

export async function afterEnd(domain: EndedDomain, end: DomainEnd, remains: Remains): Promise<Next> {
  const { say, definition, folder } = domain;
  const { reason, crash } = end;
  say(`the guest ended: ${reason}`);
  if (crash !== undefined) say(`${crash.why}\n${formatCrash(crash)}`);
  if (reason === 'destroyed' || reason === 'saved' || reason === 'suspend') return 'destroy';
  const action: Action = definition.lifecycle[`on_${reason}`];
  switch (action) {
    case 'destroy':
    case 'restart':
    case 'preserve':
      return action;
    case 'coredump-destroy':
    case 'coredump-restart':
      await dump(folder.record.name, remains, say);
      return action === 'coredump-destroy' ? 'destroy' : 'restart';
    case 'rename-restart':
      return renameAndRestart(domain);
    case 'soft-reset':
      // arch_domain_soft_reset() of xen/arch/x86/domain.c
      say(`on_${reason}="soft-reset": Xen does that for HVM guests only; the domain is destroyed`);
      return 'destroy';
  }
}

/** As xl, one for each name: the last. */
async function dump(name: string, remains: Remains, say: Say): Promise<void> {
  const path = join(dumpDirectory(), `${name}.core`);
  try {
    mkdirSync(dumpDirectory(), { recursive: true, mode: 0o700 });
    await remains.dumpCore(path);
    say(`the guest's core is ${path}`);
  } catch (error) {
    say((error as Error).message);
  }
}

/** Under another name this process keeps what is left of the guest; the domain goes on in a new one. */
async function renameAndRestart(domain: EndedDomain): Promise<Next> {
  const { folder, definition, options, say } = domain;
  const { name } = folder.record;
  try {
    if ((await preserved(name)) >= MAX_PRESERVED) {
      say(`${MAX_PRESERVED} ends of ${name} are preserved already: this one is not`);
      return 'restart';
    }
    await domain.closeDevices();
    await folder.rename(preservedName(name), newUuid());
    const { restore: _, ...again } = options;
    await spawnDomain({ ...definition, name }, { ...again, paused: false }, say);
  } catch (error) {
    say((error as Error).message);
  }
  return 'preserve';
}

/** xl has it without seconds (preserve_domain() of tools/xl/xl_vmcontrol.c), and with them two ends in one minute have names. */
function preservedName(name: string): string {
  const suffix = `-${new Date().toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
  return name.slice(0, MAX_NAME - suffix.length) + suffix;
}

async function preserved(name: string): Promise<number> {
  const prefix = preservedName(name).slice(0, -'YYYYMMDDTHHMMSSZ'.length);
  const ended = (await liveDomains()).filter(({ state }) => state === 'shutdown');
  return ended.filter((other) => other.name.startsWith(prefix) && /-\d{8}T\d{6}Z$/.test(other.name)).length;
}
