/** `xenner img resize`. */
import { Command, Option } from 'commander';
import { resizeImage } from '../../mgmt/storage/tools/resize.js';
import { sizeFromText } from '../../mgmt/storage/tools/size-text.js';
import { addSecretChoice, passwordOf, type SecretChoice } from './options.js';

interface ResizeChoice extends SecretChoice {
  format?: string;
  shrink?: true;
  quiet?: true;
  preallocation: 'off' | 'full';
}

export function resizeCommand(): Command {
  const command = new Command('resize')
    .description('give a disk another size')
    .argument('<file>')
    .argument('<size>', 'in bytes or with a unit: 10G; +1G, -1G: by so much')
    .option('-f, --format <format>', 'raw or qcow2; by default what it looks like')
    .option('--shrink', 'it may become smaller, and lose what is behind its new end')
    .option('-q, --quiet', 'say nothing')
    .addOption(
      new Option('--preallocation <mode>', 'space for what is new').choices(['off', 'full']).default('off'),
    );
  // -1G is a size.
  return addSecretChoice(command)
    .allowUnknownOption()
    .action(async (file: string, size: string, choice: ResizeChoice) => {
      const bytes = sizeFromText(size.replace(/^[+-]/, ''));
      const wanted = (now: number) => {
        if (size.startsWith('+')) return now + bytes;
        return size.startsWith('-') ? now - bytes : bytes;
      };
      await resizeImage(file, wanted, { ...choice, password: passwordOf(choice) });
      if (!choice.quiet) process.stdout.write('Image resized.\n');
    });
}
