/** Commands in the lab that the run of vitest has booted. */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inject, type TestContext } from 'vitest';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
export const LAB_SCRIPT = `${ROOT}scripts/lab.sh`;

export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface Wishes {
  /** The command is ended then, and the test fails. */
  timeoutS?: number;
  /** Standard input; none unless told. */
  input?: string | Buffer;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Called with all of standard output whenever there is more; true ends the command. */
  enough?: (stdout: string) => boolean;
}

/** The exit status of scripts/lab.sh. */
const LAB_DIED = 125;

/** scripts/test-lab.sh runs everything once more after a time-out, since a busy machine may be all that is wrong. */
export function noteTimeout(what: string): void {
  if (process.env.XENNER_LAB_TIMEOUTS) appendFileSync(process.env.XENNER_LAB_TIMEOUTS, `${what}\n`);
}

/** The served lab's folder. Skips the test when this machine has none, with the reason. */
export function needsLab(context: TestContext): string {
  const lab = inject('lab');
  if ('unfit' in lab) context.skip(true, lab.unfit);
  return 'directory' in lab ? lab.directory : '';
}

/** Runs scripts/lab.sh and collects what it says. */
export function labScript(argv: readonly string[], wishes: Wishes = {}): Promise<Outcome> {
  const child = spawn('bash', [LAB_SCRIPT, ...argv], {
    cwd: wishes.cwd ?? ROOT,
    env: wishes.env ?? process.env,
    stdio: [wishes.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  child.stdin?.end(wishes.input);
  return outcomeOf(child, wishes.enough);
}

function outcomeOf(child: ChildProcess, enough: Wishes['enough']): Promise<Outcome> {
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout?.on('data', (data: Buffer) => {
    output.push(data);
    if (enough?.(Buffer.concat(output).toString())) child.kill('SIGTERM');
  });
  child.stderr?.on('data', (data: Buffer) => errors.push(data));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) =>
      resolve({
        status,
        stdout: Buffer.concat(output).toString(),
        stderr: Buffer.concat(errors).toString(),
      }),
    );
  });
}

/**
 * Runs a command in the lab, in this project's folder unless told otherwise. Skips the test where there is no lab, and
 * throws after a time-out.
 */
export async function inLab(
  context: TestContext,
  argv: readonly string[],
  wishes: Wishes = {},
): Promise<Outcome> {
  return runInTime(context, ['--in', needsLab(context)], argv, wishes);
}

/** The same in a lab of another shape (options of scripts/lab.sh), which is booted for it. */
export async function inOwnLab(
  context: TestContext,
  shape: readonly string[],
  argv: readonly string[],
): Promise<Outcome> {
  needsLab(context);
  return runInTime(context, shape, argv, {});
}

async function runInTime(
  context: TestContext,
  options: readonly string[],
  argv: readonly string[],
  wishes: Wishes,
): Promise<Outcome> {
  const timeoutS = wishes.timeoutS ?? 120;
  const outcome = await labScript([...options, '--timeout', `${timeoutS}`, '--', ...argv], wishes);
  if (outcome.status === 124 && outcome.stderr.includes('lab: time-out')) {
    noteTimeout(context.task.name);
    throw new Error(`no end within ${timeoutS} s: ${argv.join(' ')}\n${outcome.stdout}\n${outcome.stderr}`);
  }
  if (outcome.status === LAB_DIED) {
    noteTimeout(`the lab died: ${context.task.name}`);
    throw new Error(`the lab died\n${outcome.stderr}`);
  }
  return outcome;
}
