/** The devices that a live domain begins with. */
import type { DomainDefinition } from '../definition.js';
import { LiveDisks } from './live-disks.js';
import { LiveNics } from './live-nics.js';
import type { DomainFolder } from './runtime-directory.js';

export interface LiveDevices {
  readonly disks: LiveDisks;
  readonly nics: LiveNics;
}

/** All of them, or none, and no folder either. */
export async function openDevices(
  folder: DomainFolder,
  { disks: diskDefinitions, nics: nicDefinitions }: DomainDefinition,
  say: (text: string) => void,
): Promise<LiveDevices> {
  let disks: LiveDisks | undefined;
  try {
    disks = await LiveDisks.open(diskDefinitions);
    return { disks, nics: await LiveNics.open(nicDefinitions, folder.record, say) };
  } catch (error) {
    await disks?.close();
    folder.remove();
    throw error;
  }
}
