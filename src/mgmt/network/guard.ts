/** What a change must not cut without being told to: the caller's own connection, and the host's default route. */
import { isIP } from 'node:net';
import { linkTowards, RT_TABLE_MAIN } from '../../kvm/index.js';
import { InterfaceError } from './errors.js';
import type { LiveNetwork } from './live.js';

/**
 * @param names of interfaces that would change
 * @param sshConnection as sshd sets it (sshd(8)): the client's address first
 * @throws InterfaceError VIR_ERR_OPERATION_DENIED
 */
export function checkConnection(
  names: readonly string[],
  live: LiveNetwork,
  sshConnection: string | undefined,
): void {
  const [client = ''] = sshConnection?.split(' ') ?? [];
  const ways: [string, number | undefined][] = live.routes
    .filter(({ destination, table }) => destination === undefined && table === RT_TABLE_MAIN)
    .map(({ link }) => ['the default route', link]);
  if (isIP(client) !== 0 && !client.includes('%'))
    ways.unshift([`your connection from ${client}`, linkTowards(client)]);
  for (const [what, link] of ways) {
    if (link === undefined) continue;
    const around = live.around(link);
    const name = names.find((each) => around.has(live.link(each)?.index ?? -1));
    if (name === undefined) continue;
    throw new InterfaceError(
      'VIR_ERR_OPERATION_DENIED',
      `${what} goes over ${name}, and this may cut it`,
      "--force does it all the same; 'xenner iface-begin --timeout 60' before has it undone if nobody can commit it",
    );
  }
}
