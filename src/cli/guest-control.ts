/** What a live guest is asked for by xenstore: `mem-set`, `vcpu-set`, `sysrq`; and `rename`, which the domain does itself. */
import { Command, InvalidArgumentError } from 'commander';
import { ask } from '../mgmt/domain/client.js';
import { findDomain } from '../mgmt/domain/live/runtime-directory.js';
import { unused, wholeNumber } from './options.js';

const MIB_OF_UNIT: Readonly<Record<string, number>> = {
  ...{ b: 2 ** -20, k: 2 ** -10, m: 1, '': 1, g: 2 ** 10, t: 2 ** 20 },
};

/** As xl reads it (parse_mem_size_kb() in tools/xl): MiB, unless there is a unit. */
function mebibytes(text: string): number {
  const [, digits, unit] = /^(\d{1,15})([bkmgt]?)$/i.exec(text) ?? [];
  if (digits === undefined)
    throw new InvalidArgumentError('a number is needed, with b, k, m, g or t behind it.');
  return Math.floor(Number(digits) * MIB_OF_UNIT[unit!.toLowerCase()]!);
}

export function memSetCommand(): Command {
  return new Command('mem-set')
    .description('ask a guest to keep so much memory')
    .argument('<domain>', 'name or ID')
    .argument('<size>', '512m, 1g; a plain number is MiB', mebibytes)
    .action(async (which: string, memoryMiB: number) => {
      await ask(await findDomain(which), 'mem-set', { memoryMiB });
    });
}

export function vcpuSetCommand(): Command {
  return new Command('vcpu-set')
    .description('ask a guest to use so many of its vCPUs')
    .argument('<domain>', 'name or ID')
    .argument('<count>', 'at most as many as it was started with', wholeNumber)
    .addOption(unused('-i, --ignore-host'))
    .action(async (which: string, count: number) => {
      await ask(await findDomain(which), 'vcpu-set', { count });
    });
}

export function sysrqCommand(): Command {
  return new Command('sysrq')
    .description("press a key of Linux's magic SysRq in a guest")
    .argument('<domain>', 'name or ID')
    .argument('<letter>', 'h has the guest print what there is')
    .action(async (which: string, key: string) => {
      await ask(await findDomain(which), 'sysrq', { key });
    });
}

export function renameCommand(): Command {
  return new Command('rename')
    .description('give a live domain another name')
    .argument('<domain>', 'name or ID')
    .argument('<name>', 'that no other domain has')
    .action(async (which: string, name: string) => {
      await ask(await findDomain(which), 'rename', { name });
    });
}
