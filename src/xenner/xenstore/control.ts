/** XS_CONTROL: the commands that only tell (tools/xenstored/control.c). */
import { XenstoreError } from './errors.js';
import { GUEST_QUOTA } from './quota.js';
import type { Xenstore } from './store.js';
import { encodeStrings } from './wire.js';

type Command = (store: Xenstore, args: readonly string[]) => string;

function line(what: string, value: number): string {
  return `${what.padEnd(17)}: ${`${value}`.padStart(8)}\n`;
}

/** Without a domain the limits of each, with one what it has. */
function quota(store: Xenstore, [domid]: readonly string[]): string {
  if (domid === undefined) {
    return `Quota settings:\n${Object.entries(GUEST_QUOTA)
      .map(([what, value]) => line(what, value))
      .join('')}`;
  }
  const { client } = store.domain(/^\d{1,5}$/.test(domid) ? Number(domid) : -1);
  const { nodes } = store.tree.usage(client.domid);
  return `Domain ${domid}:\n${line('nodes', nodes)}${line('bytes', client.bytes)}`;
}

const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['help', () => `Supported commands:\n${[...COMMANDS.keys()].join('\n')}`],
  ['quota', quota],
]);

/** @throws XenstoreError EINVAL for a command that there is not */
export function control(store: Xenstore, [name = '', ...args]: readonly string[]): Buffer {
  const command = COMMANDS.get(name);
  if (command === undefined) throw new XenstoreError('EINVAL', `no command ${JSON.stringify(name)}`);
  return encodeStrings(command(store, args));
}
