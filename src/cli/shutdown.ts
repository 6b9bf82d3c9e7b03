/** `xenner shutdown` and `xenner reboot`: asks guests to end, or to start anew, by themselves. */
import { Command } from 'commander';
import { DomainClient } from '../mgmt/domain/client.js';
import { type FoundDomain, findDomain, liveDomains } from '../mgmt/domain/live/runtime-directory.js';
import { unused } from './options.js';

interface ShutdownOptions {
  all?: true;
  wait?: true;
}

export const shutdownCommand = () =>
  command('shutdown', 'poweroff', 'ask a guest to power off; it may take its time, or not listen');

export const rebootCommand = () =>
  command('reboot', 'reboot', 'ask a guest to reboot; it may take its time, or not listen');

function command(name: string, request: 'poweroff' | 'reboot', description: string): Command {
  return new Command(name)
    .description(description)
    .argument('[domain]', 'name or ID')
    .option('-a, --all', 'all domains')
    .option('-w, --wait', 'until it has done so')
    .addOption(unused('-F'))
    .action(async (which: string | undefined, { all, wait }: ShutdownOptions, self: Command) => {
      if ((which === undefined) === (all === undefined)) self.error('error: name one domain, or say --all');
      const domains = which === undefined ? await liveDomains() : [await findDomain(which)];
      await Promise.all(domains.map((domain) => send(domain, request, wait === true)));
    });
}

async function send(domain: FoundDomain, request: 'poweroff' | 'reboot', wait: boolean): Promise<void> {
  const client = await DomainClient.connect(domain);
  try {
    // Listened to before it can happen.
    const ended = wait ? client.call('wait', {}) : undefined;
    ended?.catch(() => {});
    await client.call('shutdown', { request });
    await ended;
  } finally {
    client.close();
  }
}
