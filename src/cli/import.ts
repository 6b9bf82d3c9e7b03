/** `xenner import FILE.xva FOLDER`. */
import { Command, Option } from 'commander';
import { IMPORT_FORMATS, type ImportFormat, importArchive } from '../mgmt/domain/import.js';
import { EXIT } from './exit-codes.js';
import { noteText, printableText } from './printable.js';

const PROGRESS_MS = 200;

export function importCommand(): Command {
  return new Command('import')
    .description(
      "turn an export of XenServer's (.xva) into disks and a configuration that 'xenner create' boots",
    )
    .argument('<file>', 'the archive, compressed by gzip or not')
    .argument('<folder>', 'where disks and configuration go; made if it is not there')
    .addOption(new Option('--format <name>', 'of the disks').choices(IMPORT_FORMATS).default('qcow2'))
    .action(async (file: string, folder: string, { format }: { format: ImportFormat }) => {
      const progress = progressLine();
      try {
        const { definition, config } = await importArchive(file, folder, format, progress.show);
        progress.clear();
        for (const note of definition.notes) process.stderr.write(`xenner: ${noteText(file, note)}\n`);
        if (config === undefined) process.exitCode = EXIT.failure;
        else process.stdout.write(`${config}\n`);
      } finally {
        progress.clear();
      }
    });
}

/** Where somebody sees it. */
function progressLine() {
  const { stderr } = process;
  let shownMs = 0;
  return {
    show(member: string, doneBytes: number, sizeBytes: number): void {
      if (stderr.isTTY !== true || performance.now() < shownMs + PROGRESS_MS) return;
      shownMs = performance.now();
      const percent = Math.floor((100 * doneBytes) / Math.max(1, sizeBytes));
      stderr.write(`\r${printableText(member)}: ${percent} % of ${Math.ceil(sizeBytes / 2 ** 20)} MiB\x1b[K`);
    },
    clear(): void {
      if (shownMs > 0) stderr.write('\r\x1b[K');
      shownMs = 0;
    },
  };
}
