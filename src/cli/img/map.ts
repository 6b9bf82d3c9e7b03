/** `xenner img map`. */
import { Command } from 'commander';
import { XennerError } from '../../base/errors.js';
import { type MapEntry, mapImage } from '../../mgmt/storage/tools/map.js';
import { sizeFromText } from '../../mgmt/storage/tools/size-text.js';
import { printableText } from '../printable.js';
import { addImageChoice, type ImageChoice, type OutputFormat, outputOption } from './options.js';

interface MapChoice extends ImageChoice {
  output: OutputFormat;
  startOffset?: number;
  maxLength?: number;
}

export function mapCommand(): Command {
  const command = new Command('map').description('where the pieces of a disk are').argument('<file>');
  return addImageChoice(command)
    .addOption(outputOption())
    .option('-s, --start-offset <offset>', 'begin there', sizeFromText)
    .option('-l, --max-length <length>', 'no more than that', sizeFromText)
    .action(async (file: string, choice: MapChoice) => {
      if (choice.output === 'json') await printJson(file, choice);
      else await printText(file, choice);
    });
}

/** As QEMU has them (dump_map_entry() in qemu-img.c): each on a line of its own. */
async function printJson(file: string, choice: MapChoice): Promise<void> {
  let before = '[';
  for await (const { filename: _, start, length, depth, present, zero, data, offset } of mapImage(
    file,
    choice,
  )) {
    const place = offset === undefined ? '' : `, "offset": ${offset}`;
    const what = `"present": ${present}, "zero": ${zero}, "data": ${data}${place}`;
    process.stdout.write(`${before}{ "start": ${start}, "length": ${length}, "depth": ${depth}, ${what}}`);
    before = ',\n';
  }
  process.stdout.write(before === '[' ? '[]\n' : ']\n');
}

const hex = (value: number) => (value === 0 ? '0' : `0x${value.toString(16)}`).padEnd(16);

async function printText(file: string, choice: MapChoice): Promise<void> {
  process.stdout.write(`${'Offset'.padEnd(16)}${'Length'.padEnd(16)}${'Mapped to'.padEnd(16)}File\n`);
  for await (const entry of mapImage(file, choice)) if (entry.data) process.stdout.write(line(file, entry));
}

function line(file: string, { start, length, offset, filename }: MapEntry): string {
  if (offset === undefined || filename === undefined)
    throw new XennerError(
      'EIMAGE_UNSUPPORTED',
      `${file} has encrypted or compressed clusters, or a data file without a name`,
      'use --output=json',
    );
  return `${hex(start)}${hex(length)}${hex(offset)}${printableText(filename)}\n`;
}
