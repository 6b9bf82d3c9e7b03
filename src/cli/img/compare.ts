/** `xenner img compare`. */
import { Command } from 'commander';
import { CompareError, type CompareOutcome, compareImages } from '../../mgmt/storage/tools/compare.js';
import { addWorkChoice, runWork, type WorkChoice } from './work.js';

/** qemu-img(1) */
const EXIT = { same: 0, different: 1, notOpened: 2, notRead: 4 } as const;

interface CompareChoice extends WorkChoice {
  format?: string;
  secondFormat?: string;
  strict?: true;
  forceShare?: true;
}

export function compareCommand(): Command {
  const command = new Command('compare')
    .description(
      'whether two disks are the same: 0, they are; 1, they differ; 2 and more, that could not be told',
    )
    .argument('<file1>')
    .argument('<file2>')
    .option('-f, --format <format>', 'of the first')
    .option('-F, --second-format <format>', 'of the second')
    .option('-s, --strict', 'sizes have to be the same, and which parts there are')
    .option('-U, --force-share', 'even if somebody is writing them');
  return addWorkChoice(command).action(async (file1: string, file2: string, choice: CompareChoice) => {
    const lock = choice.forceShare ? 'shared-read' : undefined;
    const images = [
      { path: file1, format: choice.format, lock },
      { path: file2, format: choice.secondFormat, lock },
    ] as const;
    try {
      const outcome = await runWork(choice, (options) => {
        return compareImages(...images, { ...options, strict: choice.strict });
      });
      if (outcome === undefined) return;
      if (!choice.quiet) process.stdout.write(textOf(outcome));
      process.exitCode = outcome.same ? EXIT.same : EXIT.different;
    } catch (error) {
      process.stderr.write(`xenner: ${(error as Error).message}\n`);
      process.exitCode = error instanceof CompareError ? EXIT.notRead : EXIT.notOpened;
    }
  });
}

const SIZE_WARNING = 'Warning: Image size mismatch!\n';

function textOf(outcome: CompareOutcome): string {
  if (outcome.same) return `${outcome.sameSize ? '' : SIZE_WARNING}Images are identical.\n`;
  if (outcome.differ === 'size') return 'Strict mode: Image size mismatch!\n';
  if (outcome.differ === 'status') return `Strict mode: Offset ${outcome.offset} block status mismatch!\n`;
  return `${outcome.isBehindEnd ? SIZE_WARNING : ''}Content mismatch at offset ${outcome.offset}!\n`;
}
