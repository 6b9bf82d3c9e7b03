/** `xenner console DOMAIN`: joins a domain's console to this terminal. */
import { Command } from 'commander';
import { ConsoleClient } from '../mgmt/domain/live/console-client.js';
import { type FoundDomain, findDomain } from '../mgmt/domain/live/runtime-directory.js';
import { openTerminal } from './terminal.js';

export function consoleCommand(): Command {
  return new Command('console')
    .description("join a domain's console: what it printed last, and all from then on (Ctrl-] leaves)")
    .argument('<domain>', 'name or ID')
    .action(async (which: string) => attachConsole(await findDomain(which)));
}

/** Resolves when the user has left it, or the domain has ended. */
export async function attachConsole(domain: FoundDomain): Promise<void> {
  const client = await ConsoleClient.connect(domain);
  let failure: Error | undefined;
  const terminal = openTerminal({
    leave: (error) => {
      failure = error;
      client.close();
    },
  });
  terminal.attach(client);
  client.resumeConsole();
  await client.closed;
  await terminal.close();
  if (failure !== undefined) throw failure;
}
