/** `xenner pool-build`, `-start`, `-destroy`, `-refresh`, `-delete`, `-undefine`, `-autostart`. */
import { Command, InvalidArgumentError } from 'commander';
import type { StoragePool } from '../../mgmt/storage/pool/storage-pool.js';
import { virshSay } from '../virsh-text.js';
import { addBuildOptions, type BuildChoice, buildOptions, findPool, openPools } from './pools.js';

/** A command that does one thing to one pool. */
function poolCommand(name: string, description: string): Command {
  return new Command(name).description(description).argument('<pool>', 'name or UUID');
}

function plain(
  name: string,
  description: string,
  done: string,
  act: (pool: StoragePool) => Promise<unknown>,
): Command {
  return poolCommand(name, description).action(async (which: string) => {
    const pool = await findPool(which);
    await act(pool);
    virshSay(`Pool ${which} ${done}`);
  });
}

export function poolBuildCommand(): Command {
  const command = poolCommand(
    'pool-build',
    'make what a storage pool needs: its folder, file system, volume group',
  );
  return addBuildOptions(command).action(async (which: string, options: BuildChoice) => {
    await (await findPool(which)).build(buildOptions(options));
    virshSay(`Pool ${which} built`);
  });
}

interface StartOptions extends BuildChoice {
  autostarted?: true;
}

export function poolStartCommand(): Command {
  const command = new Command('pool-start')
    .description('start a storage pool')
    .argument('[pool]', 'name or UUID')
    .option('--build', 'build it before')
    .option('--autostarted', 'all that are marked: for the start of the host');
  return addBuildOptions(command).action(async (which: string | undefined, options: StartOptions) => {
    if ((which === undefined) !== (options.autostarted === true))
      throw new InvalidArgumentError('name either a pool or --autostarted.');
    if (which === undefined) return openPools().startAutostarted();
    await (await findPool(which)).start(buildOptions(options));
    virshSay(`Pool ${which} started`);
  });
}

export function poolDestroyCommand(): Command {
  return plain('pool-destroy', 'stop a storage pool; what is in it stays', 'destroyed', (pool) =>
    pool.stop(),
  );
}

export function poolRefreshCommand(): Command {
  return plain('pool-refresh', 'look at all volumes of a storage pool', 'refreshed', (pool) =>
    pool.refresh(),
  );
}

export function poolDeleteCommand(): Command {
  return plain('pool-delete', 'delete what a storage pool is made of', 'deleted', (pool) => pool.delete());
}

export function poolUndefineCommand(): Command {
  return plain('pool-undefine', 'forget a storage pool', 'has been undefined', (pool) => pool.undefine());
}

export function poolAutostartCommand(): Command {
  return poolCommand('pool-autostart', 'mark a storage pool as one to start with the host')
    .option('--disable', 'take the mark away')
    .action(async (which: string, { disable }: { disable?: true }) => {
      await (await findPool(which)).setAutostart(!disable);
      virshSay(`Pool ${which} ${disable ? 'unmarked' : 'marked'} as autostarted`);
    });
}
