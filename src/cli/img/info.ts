/** `xenner img info`. */
import { Command } from 'commander';
import { type ImageInfo, imageChain, imageInfo } from '../../mgmt/storage/tools/info.js';
import { printableText } from '../printable.js';
import { addImageChoice, type ImageChoice, type OutputFormat, outputOption } from './options.js';
import { snapshotList } from './snapshot-list.js';
import { imgJson, sizeText } from './text.js';

export function infoCommand(): Command {
  const command = new Command('info').description('what an image says of itself').argument('<file>');
  return addImageChoice(command)
    .addOption(outputOption())
    .option('--backing-chain', 'all images that it is above, too')
    .action(async (file: string, choice: ImageChoice & { output: OutputFormat; backingChain?: true }) => {
      const infos = choice.backingChain ? await imageChain(file, choice) : [await imageInfo(file, choice)];
      const text =
        choice.output === 'human'
          ? infos.map(humanInfo).join('\n')
          : imgJson(choice.backingChain ? infos : infos[0]);
      process.stdout.write(text);
    });
}

/** bdrv_image_info_dump() of QEMU's block/qapi.c */
function humanInfo(info: ImageInfo): string {
  const size = info['virtual-size'];
  const lines: string[] = [
    `image: ${info.filename}`,
    `file format: ${info.format}`,
    `virtual size: ${sizeText(size)} (${size} bytes)`,
    `disk size: ${sizeText(info['actual-size'])}`,
  ];
  if (info.encrypted) lines.push('encrypted: yes');
  if (info['cluster-size'] !== undefined) lines.push(`cluster_size: ${info['cluster-size']}`);
  if (info['dirty-flag']) lines.push('cleanly shut down: no');
  const name = info['backing-filename'];
  const path = info['full-backing-filename'];
  if (name !== undefined)
    lines.push(`backing file: ${name}${path === name ? '' : ` (actual path: ${path})`}`);
  if (info['backing-filename-format'] !== undefined)
    lines.push(`backing file format: ${info['backing-filename-format']}`);
  const text = lines.map((line) => `${printableText(line)}\n`).join('');
  return `${text}${info.snapshots ? snapshotList(info.snapshots) : ''}${specificText(info)}`;
}

function specificText(info: ImageInfo): string {
  const specific = info['format-specific'];
  if (specific === undefined) return '';
  return `Format specific information:\n${nested(specific.data, 1)}`;
}

/** Names lose their dashes, values stand behind them or deeper below. */
function nested(value: object, depth: number): string {
  const entries = Array.isArray(value)
    ? value.map((each, i) => [`[${i}]`, each] as const)
    : Object.entries(value).map(([name, each]) => [name.replaceAll('-', ' '), each] as const);
  return entries
    .map(([name, each]) => {
      const below =
        typeof each === 'object' ? `\n${nested(each, depth + 1)}` : ` ${printableText(String(each))}\n`;
      return `${'    '.repeat(depth)}${name}:${below}`;
    })
    .join('');
}
