/** `xenner create FILE.cfg`: starts the domain that a configuration describes, in a process of its own. */
import { Command } from 'commander';
import { readConfigFile } from '../mgmt/domain/config/read.js';
import type { DomainDefinition } from '../mgmt/domain/definition.js';
import { tellNotes } from './definition-notes.js';
import { addHostOptions, type HostChoice, hostOptions, unused } from './options.js';
import { printableText } from './printable.js';

interface CreateOptions extends HostChoice {
  console?: true;
  paused?: true;
  dryrun?: true;
  foreground?: true;
  quiet?: true;
  defconfig?: string;
}

export function createCommand(): Command {
  const command = new Command('create')
    .description('start a domain from a configuration of xl, xm, libvirt or XenServer')
    .argument('[file]', 'the configuration; relative paths in it are of the working directory, as for xl')
    .argument('[overrides...]', 'options of xl to put in place of what the file says: memory=512')
    .option('-f, --defconfig <file>', 'the same file, as xl takes it too')
    .option('-c, --console', 'connect to its console')
    .option('-p, --paused', "leave it paused; 'xenner unpause' lets it go")
    .option('-n, --dryrun', 'tell what the configuration says, and start nothing')
    .option('-F, --foreground', 'stay, instead of leaving it to a process of its own')
    .option('-q, --quiet', 'no warnings')
    .addOption(unused('-e'))
    .addOption(unused('-d'))
    .action(async (file: string | undefined, rest: string[], options: CreateOptions, self: Command) => {
      // With -f all words are of the domain.
      const words = [file ?? [], rest].flat();
      const path = options.defconfig ?? words.shift();
      if (path === undefined) self.error("error: missing required argument 'file'");
      else await create(path, words, options);
    });
  return addHostOptions(command);
}

async function create(path: string, overrides: string[], options: CreateOptions): Promise<void> {
  const { definition } = readConfigFile(path, { overrides });
  const say = (text: string) => {
    if (options.quiet !== true) process.stderr.write(`xenner: ${printableText(text)}\n`);
  };
  if (!tellNotes(path, definition, options.quiet)) return;
  const { name, cpuWeight, cpuCap } = definition;
  if (cpuWeight !== undefined || cpuCap !== undefined)
    say(`${name}: shares of the CPU are not limited: cpu_weight and cap have no effect`);
  if (options.dryrun) {
    const { toLibxl } = await import('../mgmt/domain/config/json.js');
    process.stdout.write(`${JSON.stringify(toLibxl(definition), null, 2)}\n`);
    return;
  }
  if (options.foreground) return stay(definition, options, say);
  const { spawnDomain } = await import('../mgmt/domain/live/spawn.js');
  const live = liveOptions(options);
  if (options.console) {
    const { startOnConsole } = await import('./console.js');
    await startOnConsole((listening) => spawnDomain(definition, live, say, listening));
  } else {
    await spawnDomain(definition, live, say);
  }
}

const liveOptions = (options: CreateOptions) => ({
  host: hostOptions(options),
  paused: options.paused === true,
  console: options.console === true,
});

async function stay(
  definition: DomainDefinition,
  options: CreateOptions,
  say: (text: string) => void,
): Promise<void> {
  const { startLive } = await import('../mgmt/domain/live/define.js');
  const { endOnSignals } = await import('./end-on-signals.js');
  const start = (listening: (domid: number) => void) => {
    const starting = startLive(definition, liveOptions(options), say, { listening });
    endOnSignals(starting);
    return starting;
  };
  if (!options.console) return (await start(() => {})).ended;
  const { startOnConsole } = await import('./console.js');
  let ended: Promise<void> | undefined;
  await startOnConsole(async (listening) => {
    ({ ended } = await start(listening));
  });
  await ended;
}
