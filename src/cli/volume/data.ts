/** `xenner vol-upload`, `vol-download`: a volume's bytes from and to files of the host. */
import { rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { Command } from 'commander';
import { readPieces, writePieces } from '../../mgmt/storage/pool/volume-stream.js';
import { StorageFile } from '../../mgmt/storage/storage-file.js';
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
      await (await open(path, 'w', 0o666)).close();
      const file = await StorageFile.open(path);
      try {
        await writePieces(file, volume.download({ offset, length, sparse }), {});
      } catch (error) {
        rmSync(path, { force: true });
        throw error;
      } finally {
        await file.close();
      }
      process.stdout.write('\n');
    },
  );
}
