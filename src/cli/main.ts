/** The `xenner` command's program. Each subcommand is set up when it is used: most runs need one. */
import { Command, CommanderError } from 'commander';
import { EXIT } from './exit-codes.js';

const SUBCOMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./run.js')).runCommand(),
  restore: async () => (await import('./restore.js')).restoreCommand(),
  inspect: async () => (await import('./inspect.js')).inspectCommand(),
  config: async () => (await import('./config.js')).configCommand(),
  host: async () => (await import('./host.js')).hostCommand(),
};

async function program(name: string | undefined): Promise<Command> {
  const command = new Command('xenner')
    .description('Boots Xen paravirtual guests on any x86-64 Linux machine, without Xen')
    .version('0.1.0')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'xenner: ')) })
    .exitOverride();
  const wanted = name !== undefined && name in SUBCOMMANDS ? [name] : Object.keys(SUBCOMMANDS);
  for (const each of wanted) {
    const subcommand = await SUBCOMMANDS[each]!();
    command.addCommand(subcommand.copyInheritedSettings(command));
  }
  return command;
}

async function main(): Promise<void> {
  try {
    await (await program(process.argv[2])).parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
      return;
    }
    const { message } = error as Error;
    process.stderr.write(`xenner: ${message}\n`);
    process.exitCode = EXIT.failure;
  }
}

void main();
