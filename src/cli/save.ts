/** `xenner save DOMAIN FILE` and `xenner dump-core DOMAIN FILE`. */
import { resolve } from 'node:path';
import { Command } from 'commander';
import { ask } from '../mgmt/domain/client.js';
import { findDomain } from '../mgmt/domain/live/runtime-directory.js';

export function saveCommand(): Command {
  return new Command('save')
    .description("save a live domain to a file, and end it; 'xenner restore' goes on with it")
    .argument('<domain>', 'name or ID')
    .argument('<file>', 'to be written')
    .argument('[config]', 'what restore is to make of it, in place of what the domain is now')
    .option('-c, --checkpoint', 'the domain runs on')
    .option('-p, --paused', 'the domain stays, paused')
    .action(save);
}

interface SaveOptions {
  checkpoint?: true;
  paused?: true;
}

async function save(
  which: string,
  file: string,
  config: string | undefined,
  { checkpoint, paused }: SaveOptions,
): Promise<void> {
  const domain = await findDomain(which);
  const given = { path: resolve(file), goOn: checkpoint === true, pause: paused === true };
  if (config === undefined) return void (await ask(domain, 'save', given));
  const [{ readConfigFile }, { toLibxl }, { tellNotes }] = await Promise.all([
    import('../mgmt/domain/config/read.js'),
    import('../mgmt/domain/config/json.js'),
    import('./definition-notes.js'),
  ]);
  const { definition } = readConfigFile(config);
  if (tellNotes(config, definition)) await ask(domain, 'save', { ...given, config: toLibxl(definition) });
}

export function dumpCoreCommand(): Command {
  return new Command('dump-core')
    .description("write a domain's memory and registers to an ELF core, for gdb; the domain runs on")
    .argument('<domain>', 'name or ID; also of one that is preserved')
    .argument('<file>', 'to be written')
    .action(async (which: string, file: string) => {
      await ask(await findDomain(which), 'dump-core', { path: resolve(file) });
    });
}
