/** `xenner iface-begin`, `iface-commit`, `iface-rollback`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import { compiledFile } from '../../base/paths.js';
import { virshSay } from '../virsh-text.js';
import { openInterfaces } from './interfaces.js';

const MAX_TIMEOUT_S = 86_400;

export function ifaceBeginCommand(): Command {
  return new Command('iface-begin')
    .description("remember the host's network interfaces as they are, to go back to")
    .option('--timeout <seconds>', 'go back by itself if there was no iface-commit by then', seconds)
    .action(async ({ timeout }: { timeout?: number }) => {
      const id = await openInterfaces().begin();
      if (timeout !== undefined) await startHealer(id, timeout);
      virshSay('Network config change transaction started');
    });
}

export function ifaceCommitCommand(): Command {
  return new Command('iface-commit')
    .description('keep what was changed since iface-begin')
    .action(async () => {
      await openInterfaces().commit();
      virshSay('Network config change transaction committed');
    });
}

export function ifaceRollbackCommand(): Command {
  return new Command('iface-rollback')
    .description("bring the host's network interfaces back to what they were at iface-begin")
    .option('--of <id>', 'do nothing if that one has ended')
    .option('--after <seconds>', 'wait before', seconds)
    .action(async ({ of, after }: { of?: string; after?: number }) => {
      if (after !== undefined) await delay(after * 1000);
      const interfaces = openInterfaces();
      await (of === undefined ? interfaces.rollback() : interfaces.rollbackOf(of));
      virshSay('Network config change transaction rolled back');
    });
}

/** In a session of its own, which the end of the caller's connection does not end. */
async function startHealer(id: string, timeoutS: number): Promise<void> {
  const words = [compiledFile('cli/main.js'), 'iface-rollback', '--of', id, '--after', String(timeoutS)];
  const child = spawn(process.execPath, words, { detached: true, stdio: 'ignore', cwd: '/' });
  await once(child, 'spawn');
  child.unref();
}

function seconds(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) <= MAX_TIMEOUT_S) return Number(text);
  throw new InvalidArgumentError(`1 to ${MAX_TIMEOUT_S} seconds.`);
}
