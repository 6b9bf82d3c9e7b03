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
    .option('-c, --checkpoint', 'the domain runs on')
    .option('-p, --paused', 'the domain stays, paused')
    .action(async (which: string, file: string, options: { checkpoint?: true; paused?: true }) => {
      const given = {
        path: resolve(file),
        goOn: options.checkpoint === true,
        pause: options.paused === true,
      };
      await ask(await findDomain(which), 'save', given);
    });
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
