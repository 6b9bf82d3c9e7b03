/** What every program of the `xenner` command does: parse the command line, run a subcommand, report what is wrong. */
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { EXIT } from './exit-codes.js';

/** By name; each is set up when it is used, since most runs need one. */
export type Subcommands = Readonly<Record<string, () => Promise<Command>>>;

async function program(subcommands: Subcommands, name: string | undefined): Promise<Command> {
  const command = new Command('xenner')
    .description('Boots Xen paravirtual guests on any x86-64 Linux machine, without Xen')
    .version('0.1.0')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'xenner: ')) })
    .exitOverride();
  const wanted = name !== undefined && name in subcommands ? [name] : Object.keys(subcommands);
  for (const each of wanted) {
    const subcommand = await subcommands[each]!();
    command.addCommand(subcommand.copyInheritedSettings(command));
    for (const below of subcommand.commands) below.copyInheritedSettings(subcommand);
  }
  return command;
}

/** qemu-img's status 2 says something of an image. */
const usageExit = () => (process.argv[2] === 'img' ? EXIT.failure : EXIT.usage);

export async function runCommandLine(subcommands: Subcommands): Promise<void> {
  try {
    await (await program(subcommands, process.argv[2])).parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      // commander has told all others; this one is of an option that a command looks at itself.
      if (error instanceof InvalidArgumentError) process.stderr.write(`xenner: ${error.message}\n`);
      process.exitCode = error.exitCode === 0 ? EXIT.ok : usageExit();
      return;
    }
    const { message } = error as Error;
    process.stderr.write(`xenner: ${message}\n`);
    process.exitCode = EXIT.failure;
  }
}
