/** Pools of the type mpath: all multipath maps of the host's device mapper. */
import type { PoolBackend } from './backend.js';
import { blockVolume } from './block-volume.js';
import type { VolumeDefinition } from './definition.js';
import { run } from './program.js';
import { sizesOf } from './scsi.js';

export const mpathBackend: PoolBackend = {
  volumesAre: 'devices',
  rootFor: 'the device mapper takes CAP_SYS_ADMIN',
  sizes: async () => sizesOf(await maps()),
  volumes: maps,
  volume: async (_, name) => (await maps()).find((volume) => volume.name === name),
};

/** By name. A map is named after its number, and found by what multipathd calls it. */
async function maps(): Promise<VolumeDefinition[]> {
  const list = await run('dmsetup', ['ls', '--target', 'multipath']);
  return [...list.matchAll(/^(.+)\t\(\d+[:,] ?(\d+)\)$/gm)]
    .map(([, name, minor]) => blockVolume({ name: `dm-${minor}`, path: `/dev/mapper/${name}` }))
    .filter((volume) => volume !== undefined)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
