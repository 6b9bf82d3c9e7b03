/** `xenner xenstore-ls DOMAIN [PATH]`: a live domain's xenstore, as Debian's xenstore-ls prints one. */
import { Command } from 'commander';
import { ask } from '../mgmt/domain/client.js';
import { findDomain } from '../mgmt/domain/live/runtime-directory.js';
import { printableText } from './printable.js';

export function xenstoreLsCommand(): Command {
  return new Command('xenstore-ls')
    .description("print a live domain's xenstore")
    .argument('<domain>', 'name or ID')
    .argument('[path]', 'where to begin', '/')
    .option('-f, --full', 'whole paths')
    .option('--json', 'print JSON')
    .action(async (which: string, path: string, { full, json }: { full?: true; json?: true }) => {
      const nodes = await ask(await findDomain(which), 'xenstore-ls', { path });
      const lines = nodes.map(({ below, value }) => {
        const names = below.split('/');
        const start = path.replace(/\/+$/, '');
        const name = full ? `${start}/${below}` : `${' '.repeat(names.length - 1)}${names.at(-1)}`;
        return `${printableText(`${name} = "${value}"`)}\n`;
      });
      process.stdout.write(json ? `${JSON.stringify(nodes, null, 2)}\n` : lines.join(''));
    });
}
