/** `xenner destroy DOMAIN`: ends a domain at once. */
import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { DomainClient } from '../mgmt/domain/client.js';
import { type FoundDomain, findDomain, liveDomains } from '../mgmt/domain/live/runtime-directory.js';
import { unused } from './options.js';

/** For a process to end its domain by itself; writes to its disks are waited for. */
const END_MS = 20_000;

export function destroyCommand(): Command {
  return new Command('destroy')
    .description('end a domain at once, as pulling the plug does')
    .argument('<domain>', 'name or ID')
    .addOption(unused('-f'))
    .action(async (which: string) => {
      const domain = await findDomain(which);
      const late = new AbortController();
      const given = delay(END_MS, undefined, { signal: late.signal }).catch(() => {});
      await Promise.race([destroy(domain), given]);
      late.abort();
      // Its lock is held, so the process is the domain's: it does not listen any more.
      const left = (await liveDomains()).find(
        ({ domid, pid }) => domid === domain.domid && pid === domain.pid,
      );
      if (left !== undefined) process.kill(left.pid, 'SIGKILL');
    });
}

async function destroy(domain: FoundDomain): Promise<void> {
  try {
    const client = await DomainClient.connect(domain);
    await client.call('destroy', {});
    client.close();
  } catch {
    // It may have ended by itself meanwhile; otherwise it is found again.
  }
}
