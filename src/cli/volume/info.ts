/** `xenner vol-list`, `vol-info`, `vol-dumpxml`, `vol-path`, `vol-key`, `vol-name`, `vol-pool`. */
import { Command } from 'commander';
import type { StorageVolume } from '../../mgmt/storage/pool/storage-volume.js';
import { findPool } from '../pool/pools.js';
import { json, prettyBytes, virshFields, virshTable } from '../virsh-text.js';
import { addPoolChoice, findVolume, type PoolChoice } from './volumes.js';

export function volListCommand(): Command {
  return new Command('vol-list')
    .description("a storage pool's volumes")
    .argument('<pool>', 'name or UUID')
    .option('--details', 'with types and sizes')
    .option('--json', 'as JSON, with sizes in bytes')
    .action(async (which: string, options: { details?: true; json?: true }) => {
      const volumes = await (await findPool(which)).listVolumes();
      if (options.json) process.stdout.write(json(volumes.map(({ definition }) => definition)));
      else process.stdout.write(options.details ? detailed(volumes) : plain(volumes));
    });
}

function plain(volumes: readonly StorageVolume[]): string {
  return virshTable(
    ['Name', 'Path'],
    volumes.map(({ name, path }) => [name, path]),
  );
}

function detailed(volumes: readonly StorageVolume[]): string {
  return virshTable(
    ['Name', 'Path', 'Type', 'Capacity', 'Allocation'],
    volumes.map(({ name, path, definition: { type, capacity, allocation } }) => [
      name,
      path,
      type,
      prettyBytes(capacity),
      prettyBytes(allocation),
    ]),
  );
}

interface InfoChoice extends PoolChoice {
  bytes?: true;
  physical?: true;
  backingChain?: true;
  json?: true;
}

export function volInfoCommand(): Command {
  const command = new Command('vol-info')
    .description('what there is to know of a volume')
    .argument('<vol>', 'its name, or its path');
  return addPoolChoice(command)
    .option('--bytes', 'sizes in bytes')
    .option('--physical', "the file's size in place of what it takes")
    .option('--backing-chain', 'the images that it lies above')
    .option('--json', 'as JSON, with all of that')
    .action(async (vol: string, pool: string | undefined, choice: InfoChoice) => {
      process.stdout.write(infoText(await findVolume(vol, pool ?? choice.pool), choice));
    });
}

function infoText({ definition, backingChain }: StorageVolume, choice: InfoChoice): string {
  if (choice.json) return json({ ...definition, backingChain });
  const { name, type, capacity, allocation, physical = 0 } = definition;
  const size = choice.bytes ? (bytes: number) => `${bytes} bytes` : prettyBytes;
  const fields: [string, string][] = [
    ['Name', name],
    ['Type', type],
    ['Capacity', size(capacity)],
    choice.physical ? ['Physical', size(physical)] : ['Allocation', size(allocation)],
  ];
  const chain = choice.backingChain ? backingChain : [];
  return virshFields([
    ...fields,
    ...chain.map(({ path, format }) => ['Backing', `${path} (${format})`] as const),
  ]);
}

/** A command that prints one thing of a volume. */
function oneThing(name: string, description: string, of: (volume: StorageVolume) => string): Command {
  const command = new Command(name).description(description).argument('<vol>', 'its name, or its path');
  return addPoolChoice(command).action(async (vol: string, pool: string | undefined, choice: PoolChoice) => {
    process.stdout.write(`${of(await findVolume(vol, pool ?? choice.pool))}\n`);
  });
}

export function volDumpxmlCommand(): Command {
  return oneThing('vol-dumpxml', "a volume's document", ({ xml }) => xml);
}

export function volPathCommand(): Command {
  return oneThing('vol-path', "a volume's path", ({ path }) => `${path}\n`);
}

export function volKeyCommand(): Command {
  return oneThing('vol-key', "a volume's key", ({ key }) => `${key}\n`);
}

export function volNameCommand(): Command {
  return oneThing('vol-name', "a volume's name", ({ name }) => `${name}\n`);
}

export function volPoolCommand(): Command {
  return new Command('vol-pool')
    .description('the pool that a volume is of')
    .argument('<vol>', 'its path')
    .option('--uuid', "the pool's UUID in place of its name")
    .action(async (vol: string, { uuid }: { uuid?: true }) => {
      const { pool } = await findVolume(vol, undefined);
      process.stdout.write(`${uuid ? pool.uuid : pool.name}\n\n`);
    });
}
