/** `xenner restore`: goes on with a saved guest, in a process of its own, or in this one with its console on the terminal. */
import { resolve } from 'node:path';
import { Command } from 'commander';
import { restoreDomain } from '../xenner/save/restore.js';
import { addDeviceOptions, type DeviceChoice, deviceDefinitions, withDevices } from './device-options.js';
import { addHostOptions, type HostChoice, hostOptions } from './options.js';
import { addSessionOptions, runSession, type SessionOptions } from './session.js';

interface RestoreOptions extends HostChoice, SessionOptions, DeviceChoice {
  verify?: true;
  foreground?: true;
  console?: true;
  paused?: true;
}

/** What is said of a process that stays. */
const FOREGROUND_ONLY = ['disk', 'nic', 'saveOnExit', 'consoleLog', 'stats'] as const;
const DETACHED_ONLY = ['console', 'paused'] as const;

export function restoreCommand(): Command {
  const command = new Command('restore')
    .description('go on with a domain that was saved, in a process of its own')
    .usage('[options] [config] <file>')
    .argument(
      '<files...>',
      'what save or --save-on-exit wrote, which has to stay as it is; before it a configuration',
    )
    .option('-c, --console', 'connect to its console')
    .option('-p, --paused', "leave it paused; 'xenner unpause' lets it go")
    .option(
      '-F, --foreground',
      'stay, as run does: a guest without a configuration, on this terminal (Ctrl-] leaves)',
    )
    .option('--verify', 'read all of the file first, and refuse it if anything in it has changed')
    .action((files: string[], options: RestoreOptions, self: Command) => {
      const wrong = options.foreground ? DETACHED_ONLY : FOREGROUND_ONLY;
      const given = wrong.find((name) => self.getOptionValueSource(name) === 'cli');
      const flag = self.options.find((option) => option.attributeName() === given)?.long;
      if (given !== undefined)
        self.error(`error: ${flag} is ${options.foreground ? 'not for' : 'for'} restore --foreground`);
      if (files.length > (options.foreground ? 1 : 2)) self.error('error: too many files are named');
      return options.foreground ? stay(files[0]!, options) : detach(files, options);
    });
  return addHostOptions(addSessionOptions(addDeviceOptions(command)));
}

async function stay(file: string, { verify, ...options }: RestoreOptions): Promise<void> {
  // The file has what the guest knows of its devices, and not what is behind them.
  process.exitCode = await withDevices(await deviceDefinitions(options), (devices) =>
    runSession(
      () => restoreDomain(file, { ...hostOptions(options), verify: verify ?? false }, devices),
      options,
    ),
  );
}

async function detach(files: readonly string[], options: RestoreOptions): Promise<void> {
  const [{ readSavedDefinition }, { tellNotes }, { printableText }] = await Promise.all([
    import('../mgmt/domain/live/saved-definition.js'),
    import('./definition-notes.js'),
    import('./printable.js'),
  ]);
  const file = files.at(-1)!;
  const config = files.length > 1 ? files[0] : undefined;
  const { definition } = readSavedDefinition(file, config);
  if (!tellNotes(config ?? file, definition)) return;
  const { spawnDomain } = await import('../mgmt/domain/live/spawn.js');
  const live = {
    host: hostOptions(options),
    paused: options.paused === true,
    restore: { path: resolve(file), verify: options.verify === true },
  };
  const say = (text: string) => process.stderr.write(`xenner: ${printableText(text)}\n`);
  if (options.console) {
    const { startOnConsole } = await import('./console.js');
    await startOnConsole((listening) => spawnDomain(definition, live, say, listening));
  } else {
    await spawnDomain(definition, live, say);
  }
}
