/** `xenner block-list`, `block-attach` and `block-detach`: disks of live domains. */
import { Command } from 'commander';
import { ask } from '../mgmt/domain/client.js';
import { findDomain } from '../mgmt/domain/live/runtime-directory.js';

export function blockListCommand(): Command {
  return new Command('block-list')
    .description('list the disks of domains; state 4: the guest uses it')
    .argument('<domains...>', 'names or IDs')
    .option('--json', 'print JSON')
    .action(async (which: string[], { json }: { json?: true }) => {
      const all = await Promise.all(which.map(findDomain));
      const disks = await Promise.all(
        all.map(async (domain) => {
          const list = await ask(domain, 'block-list', {});
          return list.map((disk) => ({ domid: domain.domid, ...disk }));
        }),
      );
      const rows = disks.flat();
      const text = rows.map(({ devid, vdev, domid, state, readOnly, format, path }) =>
        [
          String(devid).padEnd(6),
          vdev.padEnd(8),
          String(domid).padEnd(6),
          String(state ?? '-').padEnd(5),
          readOnly ? 'r ' : 'rw',
          format.padEnd(6),
          path,
        ].join(' '),
      );
      const header = 'Vdev   Name     ID     State Access Path';
      process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : `${[header, ...text].join('\n')}\n`);
    });
}

export function blockAttachCommand(): Command {
  return new Command('block-attach')
    .description('plug a disk into a live domain')
    .argument('<domain>', 'name or ID')
    .argument('<spec...>', "as in xl's configurations: FILE,FORMAT,VDEV,ACCESS or key=value,...")
    .action(async (which: string, spec: string[]) => {
      const disk = { spec: spec.join(','), folder: process.cwd() };
      await ask(await findDomain(which), 'block-attach', disk);
    });
}

export function blockDetachCommand(): Command {
  return new Command('block-detach')
    .description('unplug a disk when the guest lets go of it')
    .argument('<domain>', 'name or ID')
    .argument('<device>', 'xvdb, or its number')
    .option('--force', 'do not ask the guest')
    .action(async (which: string, device: string, { force }: { force?: true }) => {
      await ask(await findDomain(which), 'block-detach', { device, force: force === true });
    });
}
