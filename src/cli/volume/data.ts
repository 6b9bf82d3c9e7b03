/** `xenner vol-upload`, `vol-download`: a volume's bytes from and to files of the host. */
import { existsSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { Command, InvalidArgumentError } from 'commander';
import { readPieces, writePieces } from '../../mgmt/storage/pool/volume-stream.js';
import { identityOf, StorageFile } from '../../mgmt/storage/storage-file.js';
import { addPoolChoice, findVolume, type PoolChoice, scaledBytes } from './volumes.js';

interface DataChoice extends PoolChoice {
  offset: number;
  length: number;
  sparse?: true;
}

function dataCommand(name: string, description: string, file: string): Command {
  const command = new Command(name)
    .description(description)
    .argument('<vol>', 'its name, or its path')
    .argument('<file>', file);
  return addPoolChoice(command)
    .option('--offset <bytes>', 'where in the volume to begin', scaledBytes, 0)
    .option('--length <bytes>', 'how much; 0: all', scaledBytes, 0)
    .option('--sparse', 'keep holes');
}

export function volUploadCommand(): Command {
  return dataCommand('vol-upload', 'write a file to a volume', 'what is written').action(
    async (vol: string, path: string, pool: string | undefined, choice: DataChoice) => {
      const { offset, length, sparse } = choice;
      const volume = await findVolume(vol, pool ?? choice.pool);
      const file = await StorageFile.open(path, { readOnly: true });
      try {
        await volume.upload(readPieces(file, { length, sparse }), { offset, length });
      } finally {
        await file.close();
      }
      process.stdout.write('\n');
    },
  );
}

export function volDownloadCommand(): Command {
  return dataCommand('vol-download', 'read a volume to a file', 'what is written').action(
    async (vol: string, path: string, pool: string | undefined, choice: DataChoice) => {
      const { offset, length, sparse } = choice;
      const volume = await findVolume(vol, pool ?? choice.pool);
      const isNew = !existsSync(path);
      await (await open(path, 'a', 0o666)).close();
      if ((await identityOf(path)) === (await identityOf(volume.path)))
        throw new InvalidArgumentError(`${path} is the volume itself.`);
      const file = await StorageFile.open(path);
      try {
        if (!file.isDevice) await file.truncate(0);
        await writePieces(file, volume.download({ offset, length, sparse }), {});
      } catch (error) {
        if (isNew) rmSync(path, { force: true });
        throw error;
      } finally {
        await file.close();
      }
      process.stdout.write('\n');
    },
  );
}
