/** `xenner img snapshot`: internal snapshots. */
import { Command, InvalidArgumentError } from 'commander';
import {
  applyImageSnapshot,
  createImageSnapshot,
  deleteImageSnapshot,
  imageSnapshots,
} from '../../mgmt/storage/tools/snapshots.js';
import { addImageChoice, type ImageChoice } from './options.js';
import { snapshotList } from './snapshot-list.js';

interface SnapshotChoice extends ImageChoice {
  apply?: string;
  create?: string;
  delete?: string;
  list?: true;
}

export function snapshotCommand(): Command {
  const command = new Command('snapshot')
    .description('internal snapshots of a qcow2 image')
    .argument('<file>')
    .option('-l, --list', 'list them, as without any option')
    .option('-c, --create <name>', 'make one')
    .option('-a, --apply <snapshot>', 'the disk becomes what it was')
    .option('-d, --delete <snapshot>', 'remove one')
    .option('-q, --quiet', 'as without: nothing is said');
  return addImageChoice(command).action(async (file: string, choice: SnapshotChoice) => {
    const { apply, create, delete: remove, list, format } = choice;
    if ([apply, create, remove, list].filter((each) => each !== undefined).length > 1)
      throw new InvalidArgumentError('one of -l, -c, -a and -d at a time.');
    if (create !== undefined) await createImageSnapshot(file, create, format);
    else if (apply !== undefined) await applyImageSnapshot(file, apply, format);
    else if (remove !== undefined) await deleteImageSnapshot(file, remove, format);
    else {
      const snapshots = await imageSnapshots(file, choice);
      if (snapshots.length > 0) process.stdout.write(snapshotList(snapshots));
    }
  });
}
