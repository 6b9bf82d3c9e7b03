/** `xenner block-list`, `block-attach` and `block-detach`: disks of live domains. */
import { Command } from 'commander';
import { ask } from '../mgmt/domain/client.js';
import { parseDisk } from '../mgmt/domain/config/xl/disk.js';
import { findDomain, findDomains } from '../mgmt/domain/live/runtime-directory.js';
import { parsed } from './device-options.js';
import { printableText } from './printable.js';

/** Of xl's columns (main_blocklist() in tools/xl/xl_block.c), and three more. */
const WIDTHS = [5, 3, 6, 5, 6, 8, 30, 6, 6];
const line = (cells: readonly (string | number)[]) =>
  `${cells.map((cell, i) => printableText(String(cell)).padEnd(WIDTHS[i] ?? 0)).join(' ')}\n`;
const HEADER = line([
  'Vdev',
  'BE',
  'handle',
  'state',
  'evt-ch',
  'ring-ref',
  'BE-path',
  'Format',
  'Access',
  'Path',
]);

export function blockListCommand(): Command {
  return new Command('block-list')
    .description('list the disks of domains; state 4: the guest uses it')
    .argument('<domains...>', 'names or IDs')
    .option('--json', 'print JSON')
    .action(async (which: string[], { json }: { json?: true }) => {
      const all = await findDomains(which);
      const disks = await Promise.all(
        all.map(async (domain) => {
          const list = await ask(domain, 'block-list', {});
          return list.map((disk) => ({ domid: domain.domid, ...disk }));
        }),
      );
      const rows = disks.flat();
      const text = rows.map((row) => {
        const { devid, domid, state = 0, eventChannel = -1, ringRef = -1, backend } = row;
        const access = row.readOnly ? 'r' : 'w';
        // What xl does not know of comes behind all that it does.
        return line([devid, 0, domid, state, eventChannel, ringRef, backend, row.format, access, row.path]);
      });
      process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : [HEADER, ...text].join(''));
    });
}

export function blockAttachCommand(): Command {
  return new Command('block-attach')
    .description('plug a disk into a live domain')
    .argument('<domain>', 'name or ID')
    .argument('<spec...>', "as in xl's configurations: FILE,FORMAT,VDEV,ACCESS or key=value,...")
    .action(async (which: string, words: string[]) => {
      const disk = { spec: words.join(','), folder: process.cwd() };
      // What is only ignored, the domain does not say.
      parsed('block-attach', (say) => parseDisk(disk.spec, disk.folder, say));
      await ask(await findDomain(which), 'block-attach', disk);
    });
}

export function blockDetachCommand(): Command {
  return new Command('block-detach')
    .description('unplug a disk when the guest lets go of it')
    .argument('<domain>', 'name or ID')
    .argument('<device>', 'xvdb, or its number')
    .option('-f, --force', 'do not ask the guest')
    .action(async (which: string, device: string, { force }: { force?: true }) => {
      await ask(await findDomain(which), 'block-detach', { device, force: force === true });
    });
}
