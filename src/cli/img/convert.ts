/** `xenner img convert`. */
import { Command, InvalidArgumentError } from 'commander';
import { type ConvertSource, type ConvertTarget, convertImage } from '../../mgmt/storage/tools/convert.js';
import { parseCreateChoices } from '../../mgmt/storage/tools/create-options.js';
import { toolFormat } from '../../mgmt/storage/tools/image-file.js';
import { sizeFromText } from '../../mgmt/storage/tools/size-text.js';
import { wholeNumber } from '../options.js';
import { addImageChoice, type ImageChoice } from './options.js';
import { addWorkChoice, runWork, type WorkChoice } from './work.js';

/** qemu-img's (MAX_COROUTINES). */
const MAX_AT_ONCE = 16;

interface ConvertChoice extends ImageChoice, WorkChoice {
  outputFormat: string;
  compress?: true;
  /** -n; commander takes a name that begins with no- for the opposite. */
  create: boolean;
  options: string[];
  backing?: string;
  backingFormat?: string;
  snapshot?: string;
  sparse?: number;
  coroutines?: number;
}

export function convertCommand(): Command {
  const command = addImageChoice(new Command('convert'))
    .description('copy an image, into another format')
    .argument('<file>')
    .argument('<output>', 'a new file, or one that is replaced when the new image is complete; or a device')
    .option('-O, --output-format <format>', 'raw, qcow2 or vpc', 'raw')
    .option('-c, --compress', 'compress the clusters of a qcow2 image')
    .option('-n, --no-create', 'the output exists, and is written in place')
    .option('-o, --options <options>', 'of the output, as create takes them; again for more', gathered, [])
    .option('-B, --backing <file>', 'leave out what the source is above, and put the output above this')
    .option('-F, --backing-format <format>', 'of that file')
    .option('-l, --snapshot <snapshot>', 'copy an internal snapshot, by id or name')
    .option(
      '-S, --sparse <size>',
      'zeros that are left out, if there are so many in a row; 0: none',
      sparseSize,
    )
    .option('-m, --coroutines <number>', 'requests at once, 1 to 16; default 8', wholeNumber)
    .option('-W, --out-of-order', 'as it is always done');
  return addWorkChoice(command).action(async (file: string, output: string, choice: ConvertChoice) => {
    const atOnce = choice.coroutines;
    if (atOnce !== undefined && (atOnce < 1 || atOnce > MAX_AT_ONCE))
      throw new InvalidArgumentError(
        `Invalid number of coroutines. Allowed number of coroutines is between 1 and ${MAX_AT_ONCE}`,
      );
    const [source, target] = [sourceOf(file, choice), targetOf(output, choice)];
    await runWork(choice, (options) =>
      convertImage(source, target, {
        ...options,
        atOnce,
        compressed: choice.compress,
        sparseBytes: choice.sparse,
      }),
    );
  });
}

const gathered = (text: string, before: string[]) => [...before, text];

function sparseSize(text: string): number {
  const bytes = sizeFromText(text);
  if (bytes % 512 === 0 && bytes <= 2 ** 30) return bytes;
  throw new InvalidArgumentError(
    'Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to 1 GiB.',
  );
}

function sourceOf(path: string, { format, forceShare, snapshot }: ConvertChoice): ConvertSource {
  return { path, format, forceShare, snapshot: snapshot?.replace(/^snapshot\.(id|name)=/, '') };
}

function targetOf(path: string, choice: ConvertChoice): ConvertTarget {
  const { backing, backingFormat } = choice;
  if (backing !== undefined && backingFormat === undefined)
    throw new InvalidArgumentError('backing file specified without backing format: add -F.');
  return {
    path,
    format: toolFormat(choice.outputFormat),
    choices: parseCreateChoices(choice.options),
    exists: !choice.create,
    ...(backing !== undefined &&
      backingFormat !== undefined && { backing: { path: backing, format: backingFormat } }),
  };
}
