/** What an archive of XenServer's says of its guest, compressed or not. */
import { resolve } from 'node:path';
import { XennerError } from '../../../../base/errors.js';
import { MAX_CONFIG_BYTES } from '../../../../base/limits.js';
import { readXva } from '../../../storage/xva/import.js';
import { TarReader } from '../../../storage/xva/tar.js';
import { type ReadConfig, readConfig } from '../read.js';

/** @throws XennerError (rejection) ECONFIG_FORMAT, ECONFIG_XML, EXVA_DAMAGED, system errors */
export async function readXvaConfig(path: string): Promise<ReadConfig> {
  const tar = new TarReader(readXva(path));
  try {
    // XenServer writes it first.
    const entry = await tar.next();
    if (entry?.name !== 'ova.xml' || entry.sizeBytes > MAX_CONFIG_BYTES)
      throw new XennerError(
        'ECONFIG_FORMAT',
        `${path} is no export of XenServer: it does not begin with ova.xml`,
      );
    return readConfig(await tar.content(entry), { archive: resolve(path) });
  } finally {
    await tar.close();
  }
}
