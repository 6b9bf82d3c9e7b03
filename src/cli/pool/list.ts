/** `xenner pool-list`: storage pools, in virsh's columns. */
import { Command } from 'commander';
import type { PoolFilter } from '../../mgmt/storage/pool/pools.js';
import type { StoragePool } from '../../mgmt/storage/pool/storage-pool.js';
import { json, prettyBytes, virshTable } from '../virsh-text.js';
import { openPools } from './pools.js';

interface ListOptions {
  inactive?: true;
  all?: true;
  transient?: true;
  persistent?: true;
  autostart?: boolean;
  type?: string;
  details?: true;
  uuid?: true;
  name?: true;
  json?: true;
}

export function poolListCommand(): Command {
  return new Command('pool-list')
    .description('list storage pools')
    .option('--inactive', 'those that do not run')
    .option('--all', 'those that run and those that do not')
    .option('--transient', 'those that are not defined')
    .option('--persistent', 'those that are defined')
    .option('--autostart', 'those that are marked')
    .option('--no-autostart', 'those that are not marked')
    .option('--type <types>', 'those of types, by commas')
    .option('--details', 'with sizes')
    .option('--uuid', 'UUIDs only')
    .option('--name', 'names only')
    .option('--json', 'as JSON, with sizes in bytes')
    .action(async (options: ListOptions) => {
      process.stdout.write(await listing(await openPools().list(filterOf(options)), options));
    });
}

function filterOf({ inactive, all, transient, persistent, autostart, type }: ListOptions): PoolFilter {
  return {
    active: !inactive || all,
    inactive: inactive || all,
    transient,
    persistent,
    autostart: autostart === true,
    noAutostart: autostart === false,
    types: type?.split(','),
  };
}

async function listing(pools: readonly StoragePool[], { details, uuid, name, json: asJson }: ListOptions) {
  if (asJson) return json(await Promise.all(pools.map(describe)));
  if (uuid || name) return `${pools.map((pool) => namesOf(pool, uuid, name)).join('')}\n`;
  if (details) return detailed(pools);
  const rows = pools.map((pool) => [
    pool.name,
    pool.isActive ? 'active' : 'inactive',
    yes(pool.isAutostarted),
  ]);
  return virshTable(['Name', 'State', 'Autostart'], rows);
}

/** virsh's blanks. */
function namesOf(pool: StoragePool, uuid?: true, name?: true): string {
  if (uuid && name) return `${pool.uuid.padEnd(36)} ${pool.name.padEnd(30)}\n`;
  return uuid ? `${pool.uuid}\n` : `${pool.name.padEnd(20)}\n`;
}

async function detailed(pools: readonly StoragePool[]): Promise<string> {
  const rows = pools.map(async (pool) => {
    const { state, capacity, allocation, available } = await pool.info();
    const sizes = [capacity, allocation, available].map((size) =>
      state === 'running' ? prettyBytes(size) : '-',
    );
    return [pool.name, state, yes(pool.isAutostarted), yes(pool.isPersistent), ...sizes];
  });
  const header = ['Name', 'State', 'Autostart', 'Persistent', 'Capacity', 'Allocation', 'Available'];
  return virshTable(header, await Promise.all(rows));
}

export async function describe(pool: StoragePool) {
  const { name, uuid, definition, isAutostarted: autostart, isPersistent: persistent } = pool;
  return { name, uuid, type: definition.type, autostart, persistent, ...(await pool.info()) };
}

export function yes(is: boolean): string {
  return is ? 'yes' : 'no';
}
