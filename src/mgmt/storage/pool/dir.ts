/** Pools of the type dir: a folder of the host's. */
import type { PoolBackend } from './backend.js';
import { buildFolder, fileVolumes, folderPermissions, folderSizes, removeFolder } from './folder.js';

export const dirBackend: PoolBackend = {
  volumesAre: 'files',
  build: async (pool) => buildFolder(pool),
  delete: async (pool) => removeFolder(pool),
  permissions: folderPermissions,
  sizes: async (pool) => folderSizes(pool),
  ...fileVolumes,
};
