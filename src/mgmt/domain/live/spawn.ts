/** A domain in a process of its own, which goes on when ours ends. */
import { fork } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { XennerError } from '../../../base/errors.js';
import { compiledFile } from '../../../base/paths.js';
import { dumpDirectory, runtimeDirectory } from '../../state/directories.js';
import type { DomainDefinition } from '../definition.js';
import type { LiveOptions } from './live-domain.js';

/** What the process is told. */
export interface SpawnRequest {
  readonly definition: DomainDefinition;
  readonly options: LiveOptions;
  /** Its standard output and error, which it moves into its folder. */
  readonly log: string;
}

/** What the process tells, in this order; the last is `started` or `failed`. */
export type SpawnReport =
  | { readonly kind: 'said'; readonly text: string }
  /** Its console can be joined; there may be no guest for a while. */
  | { readonly kind: 'listening'; readonly domid: number }
  | { readonly kind: 'started'; readonly domid: number }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

const MAX_LOG_TAIL_CHARACTERS = 2000;

/**
 * Resolves with the domid when the guest runs.
 * @throws XennerError (rejection) whatever the domain's process met
 */
export async function spawnDomain(
  definition: DomainDefinition,
  options: LiveOptions,
  say: (text: string) => void,
  listening: (domid: number) => void = () => {},
): Promise<number> {
  const log = join(runtimeDirectory(), `log.${process.pid}`);
  const fd = openSync(log, 'a', 0o600);
  const child = fork(compiledFile('domain-process.cjs'), [definition.name], {
    detached: true,
    cwd: '/',
    stdio: ['ignore', fd, fd, 'ipc'],
    execArgv: [],
    // Its working directory is another one.
    env: { ...process.env, XENNER_RUN_DIR: runtimeDirectory(), XENNER_DUMP_DIR: dumpDirectory() },
  });
  closeSync(fd);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('message', (report: SpawnReport) => {
        if (report.kind === 'said') say(report.text);
        else if (report.kind === 'listening') listening(report.domid);
        else if (report.kind === 'started') resolve(report.domid);
        else reject(new XennerError(report.code, report.message));
      });
      child.on('error', reject);
      child.on('exit', (code, signal) => reject(died(log, signal ?? `status ${code}`)));
      child.send({ definition, options, log } satisfies SpawnRequest);
    });
  } finally {
    rmSync(log, { force: true });
    child.removeAllListeners();
    if (child.connected) child.disconnect();
    child.unref();
  }
}

function died(log: string, how: string): XennerError {
  let tail = '';
  try {
    tail = readFileSync(log, 'utf8').trim().slice(-MAX_LOG_TAIL_CHARACTERS);
  } catch {}
  return new XennerError('EDIED', `the domain's process ended with ${how}${tail === '' ? '' : `: ${tail}`}`);
}
