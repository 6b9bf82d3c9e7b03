/** Pools of the type dir: a folder of the host's. */
import type { PoolBackend } from './backend.js';
import { buildFolder, fileVolumes, folderSizes, removeFolder } from './folder.js';

export const dirBackend: PoolBackend = {
  needsRoot: false,
  build: async (pool) => buildFolder(pool),
  delete: async (pool) => removeFolder(pool),
  sizes: async (pool) => folderSizes(pool),
  ...fileVolumes,
};
