/** `xenner vol-delete`, `vol-wipe`, `vol-resize`. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { WIPE_ALGORITHMS, type WipeAlgorithm } from '../../mgmt/storage/pool/wipe.js';
import { virshSay } from '../virsh-text.js';
import { addPoolChoice, findVolume, type PoolChoice, scaledBytes } from './volumes.js';

function volumeCommand(name: string, description: string): Command {
  return new Command(name).description(description).argument('<vol>', 'its name, or its path');
}

export function volDeleteCommand(): Command {
  return addPoolChoice(volumeCommand('vol-delete', 'delete a volume')).action(
    async (vol: string, pool: string | undefined, choice: PoolChoice) => {
      await (await findVolume(vol, pool ?? choice.pool)).delete();
      virshSay(`Vol ${vol} deleted`);
    },
  );
}

export function volWipeCommand(): Command {
  const command = volumeCommand('vol-wipe', 'make what is on a volume unreadable');
  return addPoolChoice(command)
    .addOption(new Option('--algorithm <name>', 'how').choices(WIPE_ALGORITHMS).default('zero'))
    .action(
      async (vol: string, pool: string | undefined, choice: PoolChoice & { algorithm: WipeAlgorithm }) => {
        await (await findVolume(vol, pool ?? choice.pool)).wipe(choice.algorithm);
        virshSay(`Vol ${vol} wiped`);
      },
    );
}

interface ResizeChoice extends PoolChoice {
  allocate?: true;
  delta?: true;
  shrink?: true;
}

export function volResizeCommand(): Command {
  const command = volumeCommand('vol-resize', 'change the size of a volume').argument(
    '<capacity>',
    'the new size; bytes, or with a unit: 10G',
  );
  return addPoolChoice(command)
    .option('--allocate', 'give what is new its space at once')
    .option('--delta', 'it is to be larger by that; with --shrink smaller')
    .option('--shrink', 'it may become smaller, and lose what is behind its new end')
    .action(async (vol: string, capacity: string, pool: string | undefined, choice: ResizeChoice) => {
      const volume = await findVolume(vol, pool ?? choice.pool);
      const { delta, allocate, shrink } = choice;
      const change = scaledBytes(capacity.replace(/^-/, ''));
      if (capacity.startsWith('-') && !shrink)
        throw new InvalidArgumentError('a negative size goes with --shrink.');
      const signed = delta && shrink ? -change : change;
      await volume.resize(delta ? volume.definition.capacity + signed : change, { allocate, shrink });
      virshSay(`Size of volume '${volume.name}' successfully changed ${delta ? 'by' : 'to'} ${capacity}`);
    });
}
