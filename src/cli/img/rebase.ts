/** `xenner img rebase`. */
import { Command, InvalidArgumentError } from 'commander';
import { rebaseImage } from '../../mgmt/storage/tools/rebase.js';
import { addWorkChoice, runWork, type WorkChoice } from './work.js';

interface RebaseChoice extends WorkChoice {
  format?: string;
  backing: string;
  backingFormat?: string;
  unsafe?: true;
}

export function rebaseCommand(): Command {
  const command = new Command('rebase')
    .description('put an overlay above another image, or above none')
    .argument('<file>')
    .option('-f, --format <format>', 'of the overlay')
    .requiredOption('-b, --backing <file>', "the new backing file, relative to the overlay; '': none")
    .option('-F, --backing-format <format>', 'of that file')
    .option('-u, --unsafe', 'change nothing but the name');
  return addWorkChoice(command).action(async (file: string, choice: RebaseChoice) => {
    const { format, backing, backingFormat, unsafe } = choice;
    if (backing !== '' && backingFormat === undefined)
      throw new InvalidArgumentError('backing format must be specified: add -F.');
    const below =
      backing === '' || backingFormat === undefined ? undefined : { path: backing, format: backingFormat };
    await runWork(choice, (options) => rebaseImage(file, { ...options, format, backing: below, unsafe }));
  });
}
