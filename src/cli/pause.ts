/** `xenner pause` and `xenner unpause`. */
import { Command } from 'commander';
import { ask } from '../mgmt/domain/client.js';
import { findDomain } from '../mgmt/domain/live/runtime-directory.js';

export const pauseCommand = () => command('pause', "stop a domain's CPUs until it is unpaused");
export const unpauseCommand = () => command('unpause', 'let a paused domain go on');

function command(name: 'pause' | 'unpause', description: string): Command {
  return new Command(name)
    .description(description)
    .argument('<domain>', 'name or ID')
    .action(async (which: string) => void (await ask(await findDomain(which), name, {})));
}
