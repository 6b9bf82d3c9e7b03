/** From a definition to a live domain in this process. */
import { renameSync } from 'node:fs';
import type { DomainDefinition } from '../definition.js';
import { withIdentity } from '../identity.js';
import { LiveDomain, type LiveOptions, type Say } from './live-domain.js';
import { DomainFolder } from './runtime-directory.js';

/**
 * @param log a file that becomes the one in the domain's folder
 * @param listening its console can be joined
 * @throws XennerError (rejection) EDOMAIN_EXISTS, EDOMAIN_NAME, ERUNDIR; what LiveDomain.start() throws
 */
export async function startLive(
  open: DomainDefinition,
  options: LiveOptions,
  say: Say,
  { log, listening = () => {} }: { log?: string; listening?: (domid: number) => void } = {},
): Promise<LiveDomain> {
  const definition = withIdentity(open);
  const { numaNode } = options.host;
  const folder = await DomainFolder.claim({
    name: definition.name,
    uuid: definition.uuid!,
    memoryMiB: definition.maxMemoryMiB,
    vcpus: definition.maxVcpus,
    ...(numaNode !== undefined && { numaNode }),
  });
  if (log !== undefined) renameSync(log, folder.file('log'));
  return LiveDomain.start(folder, definition, options, say, listening);
}
