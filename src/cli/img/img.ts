/** `xenner img`: images, with qemu-img's commands. */
import { Command } from 'commander';
import { IMG_COMMANDS } from '../img-commands.js';

/** Only the one that is wanted is set up: most runs need one. */
export async function imgCommand(): Promise<Command> {
  const command = new Command('img').description('make, look at and change disk images, as qemu-img does');
  const wanted = process.argv[3];
  for (const [name, subcommand] of Object.entries(IMG_COMMANDS))
    if (wanted === name || wanted === undefined || !Object.hasOwn(IMG_COMMANDS, wanted))
      command.addCommand(await subcommand());
  return command;
}
