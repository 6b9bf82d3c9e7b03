/** `xenner restore`: goes on with a saved guest, with its console on the terminal. */
import { Command } from 'commander';
import { restoreDomain } from '../xenner/save/restore.js';
import { addDeviceOptions, type DeviceChoice, deviceDefinitions, withDevices } from './device-options.js';
import { addHostOptions, type HostChoice, hostOptions } from './options.js';
import { addSessionOptions, runSession, type SessionOptions } from './session.js';

interface RestoreOptions extends HostChoice, SessionOptions, DeviceChoice {
  verify?: true;
}

export function restoreCommand(): Command {
  const command = new Command('restore')
    .description('go on with a guest that was saved, with its console on this terminal (Ctrl-] leaves)')
    .argument('<file>', 'what --save-on-exit wrote; it has to stay as it is while the guest runs')
    .option('--verify', 'read all of the file first, and refuse it if anything in it has changed')
    .action(async (file: string, { verify, ...options }: RestoreOptions) => {
      // The file has what the guest knows of its devices, and not what is behind them.
      process.exitCode = await withDevices(await deviceDefinitions(options), (devices) =>
        runSession(
          () => restoreDomain(file, { ...hostOptions(options), verify: verify ?? false }, devices),
          options,
        ),
      );
    });
  return addHostOptions(addSessionOptions(addDeviceOptions(command)));
}
