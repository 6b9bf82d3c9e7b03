/** `xenner img measure`. */
import { Command, InvalidArgumentError } from 'commander';
import { parseCreateChoices } from '../../mgmt/storage/tools/create-options.js';
import { toolFormat } from '../../mgmt/storage/tools/image-file.js';
import { measureImage } from '../../mgmt/storage/tools/measure.js';
import { sizeFromText } from '../../mgmt/storage/tools/size-text.js';
import { addImageChoice, type ImageChoice, type OutputFormat, outputOption } from './options.js';
import { imgJson } from './text.js';

interface MeasureChoice extends ImageChoice {
  output: OutputFormat;
  outputFormat: string;
  options: string[];
  size?: number;
}

const gathered = (text: string, before: string[]) => [...before, text];

export function measureCommand(): Command {
  const command = new Command('measure')
    .description('how large the file of a new image would be')
    .argument('[file]', 'with the contents of this image');
  return addImageChoice(command)
    .addOption(outputOption())
    .option('-O, --output-format <format>', 'raw or qcow2', 'raw')
    .option('-o, --options <options>', 'of the new image, as create takes them', gathered, [])
    .option('--size <size>', 'of an empty disk', sizeFromText)
    .action(async (file: string | undefined, { size, ...choice }: MeasureChoice) => {
      const source = file ?? size;
      if (source === undefined || (file !== undefined && size !== undefined))
        throw new InvalidArgumentError('either a file or --size.');
      const choices = parseCreateChoices(choice.options);
      const measure = await measureImage(source, {
        ...choice,
        choices,
        outputFormat: toolFormat(choice.outputFormat),
      });
      const lines = [
        `required size: ${measure.required}`,
        `fully allocated size: ${measure['fully-allocated']}`,
        ...(measure.bitmaps === undefined ? [] : [`bitmaps size: ${measure.bitmaps}`]),
      ];
      const text = lines.map((line) => `${line}\n`).join('');
      process.stdout.write(choice.output === 'json' ? imgJson(measure) : text);
    });
}
