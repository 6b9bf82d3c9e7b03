/** `xenner img check`. */
import { Command, Option } from 'commander';
import { XennerError } from '../../base/errors.js';
import { checkImage, type ImageCheck } from '../../mgmt/storage/tools/check.js';
import { CHECK_EXIT } from '../exit-codes.js';
import { printableText } from '../printable.js';
import { addImageChoice, type ImageChoice, type OutputFormat, outputOption } from './options.js';
import { imgJson } from './text.js';

/** Of the single things that are wrong: a damaged image has millions. */
const MAX_LINES = 1000;

interface CheckChoice extends ImageChoice {
  output: OutputFormat;
  quiet?: true;
  repair?: 'leaks' | 'all';
}

export function checkCommand(): Command {
  const command = new Command('check').description('whether an image is in order').argument('<file>');
  return addImageChoice(command)
    .addOption(outputOption())
    .addOption(new Option('-r, --repair <what>', 'put right what is wrong').choices(['leaks', 'all']))
    .option('-q, --quiet', 'only the exit status tells')
    .action(async (file: string, choice: CheckChoice) => {
      try {
        const check = await checkImage(file, { ...choice, report: choice.quiet ? undefined : reporter() });
        process.exitCode = statusOf(check);
        if (choice.output === 'json') process.stdout.write(imgJson(check));
        else if (!choice.quiet) process.stdout.write(humanCheck(check));
      } catch (error) {
        if (!(error instanceof XennerError) || error.code !== 'EIMAGE_NO_CHECK') throw error;
        process.stderr.write(`xenner: ${error.message}\n`);
        process.exitCode = CHECK_EXIT.unsupported;
      }
    });
}

function reporter(): (text: string) => void {
  let lines = 0;
  return (text) => {
    if (lines++ < MAX_LINES) process.stderr.write(`${printableText(text)}\n`);
    else if (lines === MAX_LINES + 1) process.stderr.write('There is more of that.\n');
  };
}

function statusOf({ corruptions, leaks }: ImageCheck): number {
  if (corruptions !== undefined) return CHECK_EXIT.corruptions;
  return leaks === undefined ? CHECK_EXIT.ok : CHECK_EXIT.leaks;
}

/** dump_human_image_check() of QEMU's qemu-img.c */
function humanCheck(check: ImageCheck): string {
  const { corruptions, leaks } = check;
  const parts: string[] = [];
  const fixed = { leaks: check['leaks-fixed'] ?? 0, corruptions: check['corruptions-fixed'] ?? 0 };
  if (fixed.leaks + fixed.corruptions > 0)
    parts.push(
      `The following inconsistencies were found and repaired:\n\n    ${fixed.leaks} leaked clusters\n`,
      `    ${fixed.corruptions} corruptions\n\nDouble checking the fixed image now...\n`,
    );
  if (corruptions === undefined && leaks === undefined) parts.push('No errors were found on the image.\n');
  if (corruptions !== undefined)
    parts.push(
      `\n${corruptions} errors were found on the image.\n`,
      'Data may be corrupted, or further writes to the image may corrupt it.\n',
    );
  if (leaks !== undefined)
    parts.push(
      `\n${leaks} leaked clusters were found on the image.\n`,
      'This means waste of disk space, but no harm to data.\n',
    );
  return `${parts.join('')}${allocationText(check)}Image end offset: ${check['image-end-offset']}\n`;
}

function allocationText(check: ImageCheck): string {
  const total = check['total-clusters'];
  const allocated = check['allocated-clusters'] ?? 0;
  if (total === 0 || allocated === 0) return '';
  const percent = (part: number, of: number) => `${((part * 100) / of).toFixed(2)}%`;
  const fragmented = percent(check['fragmented-clusters'] ?? 0, allocated);
  const compressed = percent(check['compressed-clusters'] ?? 0, allocated);
  return `${allocated}/${total} = ${percent(allocated, total)} allocated, ${fragmented} fragmented, ${compressed} compressed clusters\n`;
}
