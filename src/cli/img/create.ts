/** `xenner img create`. */
import { Command, InvalidArgumentError } from 'commander';
import { parseCreateChoices } from '../../mgmt/storage/tools/create-options.js';
import { toolFormat } from '../../mgmt/storage/tools/image-file.js';
import { newImage } from '../../mgmt/storage/tools/new-image.js';
import { sizeFromText } from '../../mgmt/storage/tools/size-text.js';
import { printableText } from '../printable.js';

interface CreateChoice {
  format: string;
  backing?: string;
  backingFormat?: string;
  unsafe?: true;
  options: string[];
  quiet?: true;
}

const gathered = (text: string, before: string[]) => [...before, text];

export function createCommand(): Command {
  return new Command('create')
    .description('make an image, in place of what has its name')
    .argument('<file>')
    .argument('[size]', 'in bytes or with a unit: 10G; by default what it is above has', sizeFromText)
    .option('-f, --format <format>', 'raw, qcow2 or vpc', 'raw')
    .option('-b, --backing <file>', 'what it lies above, by a path relative to the image')
    .option('-F, --backing-format <format>', 'of that file')
    .option('-u, --unsafe', 'that file need not be there yet')
    .option('-o, --options <options>', 'name=value,...: cluster_size, preallocation, ...', gathered, [])
    .option('-q, --quiet', 'say nothing')
    .action(async (file: string, size: number | undefined, choice: CreateChoice) => {
      const choices = new Map(parseCreateChoices(choice.options));
      const path = choice.backing ?? choices.get('backing_file');
      const backingFormat = choice.backingFormat ?? choices.get('backing_fmt');
      for (const name of ['backing_file', 'backing_fmt']) choices.delete(name);
      if (path !== undefined && backingFormat === undefined)
        throw new InvalidArgumentError('backing file specified without backing format: add -F.');
      const backing = path === undefined ? undefined : { path, format: backingFormat! };
      const format = toolFormat(choice.format);
      const { unsafe } = choice;
      const sizeBytes = await newImage(file, { format, choices, backing, unsafe, sizeBytes: size });
      const words = [...choices].map(([name, value]) => ` ${name}=${value}`).join('');
      const below = backing ? ` backing_file=${backing.path} backing_fmt=${backing.format}` : '';
      if (!choice.quiet)
        process.stdout.write(
          `${printableText(`Formatting '${file}', fmt=${format} size=${sizeBytes}${below}${words}`)}\n`,
        );
    });
}
