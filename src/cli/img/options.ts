/** Options that several commands of qemu-img have. */
import { type Command, Option } from 'commander';

export type OutputFormat = 'human' | 'json';

export interface ImageChoice {
  format?: string;
  forceShare?: true;
}

export function addImageChoice(command: Command): Command {
  return command
    .option('-f, --format <format>', 'raw, qcow2 or vpc; by default what it looks like')
    .option('-U, --force-share', 'even if somebody is writing it');
}

export function outputOption(): Option {
  return new Option('--output <format>', 'text, or what programs read')
    .choices(['human', 'json'])
    .default('human');
}
