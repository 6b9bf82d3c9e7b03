/** `xenner pool-info`, `pool-dumpxml`, `pool-name`, `pool-uuid`. */
import { Command } from 'commander';
import { json, prettyBytes, virshFields } from '../virsh-text.js';
import { describe, yes } from './list.js';
import { findPool } from './pools.js';

export function poolInfoCommand(): Command {
  return new Command('pool-info')
    .description('what there is to know of a storage pool')
    .argument('<pool>', 'name or UUID')
    .option('--bytes', 'sizes in bytes')
    .option('--json', 'as JSON, with sizes in bytes')
    .action(async (which: string, options: { bytes?: true; json?: true }) => {
      const pool = await findPool(which);
      const about = await describe(pool);
      if (options.json) process.stdout.write(json(about));
      else process.stdout.write(virshFields(fieldsOf(about, options.bytes ? String : prettyBytes)));
    });
}

function fieldsOf(about: Awaited<ReturnType<typeof describe>>, size: (bytes: number) => string) {
  const { name, uuid, state, persistent, autostart, capacity, allocation, available } = about;
  const fields: [string, string][] = [
    ['Name', name],
    ['UUID', uuid],
    ['State', state],
    ['Persistent', yes(persistent)],
    ['Autostart', yes(autostart)],
  ];
  if (state !== 'running') return fields;
  const sizes = { Capacity: capacity, Allocation: allocation, Available: available };
  return [...fields, ...Object.entries(sizes).map(([title, bytes]) => [title, size(bytes)] as const)];
}

export function poolDumpxmlCommand(): Command {
  return new Command('pool-dumpxml')
    .description("a storage pool's document")
    .argument('<pool>', 'name or UUID')
    .option('--inactive', 'what it will be when it is started the next time')
    .action(async (which: string, options: { inactive?: true }) => {
      process.stdout.write(`${await (await findPool(which)).xml({ inactive: options.inactive ?? false })}\n`);
    });
}

export function poolNameCommand(): Command {
  return new Command('pool-name')
    .description("a storage pool's name")
    .argument('<pool>', 'UUID')
    .action(async (which: string) => {
      process.stdout.write(`${(await findPool(which)).name}\n\n`);
    });
}

export function poolUuidCommand(): Command {
  return new Command('pool-uuid')
    .description("a storage pool's UUID")
    .argument('<pool>', 'name')
    .action(async (which: string) => {
      process.stdout.write(`${(await findPool(which)).uuid}\n\n`);
    });
}
