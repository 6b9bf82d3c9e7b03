/** `xenner console DOMAIN`: joins a domain's console to this terminal. */
import { Command, Option } from 'commander';
import { ConsoleClient } from '../mgmt/domain/live/console-client.js';
import { type FoundDomain, findDomain } from '../mgmt/domain/live/runtime-directory.js';
import { openTerminal } from './terminal.js';

export function consoleCommand(): Command {
  return new Command('console')
    .description("join a domain's console: what it printed last, and all from then on (Ctrl-] leaves)")
    .argument('<domain>', 'name or ID')
    .addOption(new Option('-t <type>', 'of console').choices(['pv']).hideHelp())
    .addOption(new Option('-n <number>', 'of console').choices(['0']).hideHelp())
    .action(async (which: string) => attachConsole(await findDomain(which)));
}

/**
 * Starts a domain, with this terminal on its console from before the guest's first instruction, and its boot menu's.
 * Resolves when the user has left it, or the domain has ended.
 */
export async function startOnConsole(
  start: (listening: (domid: number) => void) => Promise<unknown>,
): Promise<void> {
  let joined: Promise<void> | undefined;
  try {
    await start((domid) => {
      joined = findDomain(String(domid)).then(attachConsole);
      // What is wrong with the domain is told first.
      joined.catch(() => {});
    });
  } catch (error) {
    await joined?.catch(() => {});
    throw error;
  }
  await joined;
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
