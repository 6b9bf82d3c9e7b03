/** The host's pools for commands, which say on standard error what was met by the way. */
import type { Command } from 'commander';
import type { BuildOptions } from '../../mgmt/storage/pool/backend.js';
import { StoragePools } from '../../mgmt/storage/pool/pools.js';
import type { StoragePool } from '../../mgmt/storage/pool/storage-pool.js';
import { printableText } from '../printable.js';

export function openPools(): StoragePools {
  return new StoragePools({ report: (line) => process.stderr.write(`xenner: ${printableText(line)}\n`) });
}

export function findPool(which: string): Promise<StoragePool> {
  return openPools().lookup(which);
}

export interface BuildChoice {
  build?: true;
  overwrite?: boolean;
}

/** What of a device may be lost when a pool is built on it. */
export function addBuildOptions(command: Command): Command {
  return command
    .option('--overwrite', 'lose what is on its device')
    .option('--no-overwrite', 'refuse where something is on its device');
}

export function buildOptions({ build, overwrite }: BuildChoice): BuildOptions & { build: boolean } {
  return {
    build: build === true,
    overwrite: overwrite === true,
    noOverwrite: overwrite === false,
  };
}
