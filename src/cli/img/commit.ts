/** `xenner img commit`. */
import { Command } from 'commander';
import { commitImage } from '../../mgmt/storage/tools/commit.js';
import { addWorkChoice, runWork, type WorkChoice } from './work.js';

interface CommitChoice extends WorkChoice {
  format?: string;
  base?: string;
  drop?: true;
}

export function commitCommand(): Command {
  const command = new Command('commit')
    .description('write what an overlay has to its backing file, and empty the overlay')
    .argument('<file>')
    .option('-f, --format <format>', 'of the overlay')
    .option('-b, --base <file>', 'to this image of the backing chain; implies -d')
    .option('-d, --drop', 'do not empty the overlay: it is to be removed');
  return addWorkChoice(command).action(
    async (file: string, { format, base, drop, ...choice }: CommitChoice) => {
      const isDone = await runWork(choice, async (options) => {
        await commitImage(file, { ...options, format, base, keep: drop });
        return true;
      });
      if (isDone && !choice.quiet) process.stdout.write('Image committed.\n');
    },
  );
}
