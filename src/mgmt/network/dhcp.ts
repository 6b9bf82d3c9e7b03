/** DHCP is the host's: its own client is told to go to work, where it runs. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ConfigSystem, ConfigSystemName } from './config/config-system.js';
import type { InterfaceDefinition } from './definition.js';
import { InterfaceError } from './errors.js';

/** An answer of a DHCP server takes seconds; ifup waits for it. */
const TIMEOUT_MS = 90_000;

interface Client {
  readonly runs: string;
  readonly start: (name: string) => readonly (readonly [string, ...string[]])[];
  readonly stop: (name: string) => readonly (readonly [string, ...string[]])[];
}

const CLIENTS: Readonly<Record<ConfigSystemName, Client>> = {
  'systemd-networkd': {
    runs: '/run/systemd/netif/links',
    start: (name) => [
      ['networkctl', 'reload'],
      ['networkctl', 'reconfigure', name],
    ],
    stop: () => [],
  },
  ifupdown: {
    runs: '/sbin/ifup',
    start: (name) => [['ifup', '--force', name]],
    stop: (name) => [['ifdown', '--force', name]],
  },
};

export function wantsDhcp({ protocols }: InterfaceDefinition): boolean {
  return protocols.some(({ dhcp }) => dhcp !== undefined);
}

/** Nothing is changed before this has passed. @throws InterfaceError VIR_ERR_OPERATION_UNSUPPORTED */
export function checkDhcp(system: ConfigSystem | undefined, root: string): void {
  const client = system && CLIENTS[system.name];
  if (client !== undefined && existsSync(join(root, client.runs))) return;
  const what =
    system === undefined
      ? 'nothing keeps interfaces on this host'
      : `${system.name} does not run on this host`;
  throw new InterfaceError(
    'VIR_ERR_OPERATION_UNSUPPORTED',
    `the interface gets its addresses by DHCP, and ${what}`,
    'give it an address, or start that',
  );
}

/** @throws InterfaceError (rejection) VIR_ERR_OPERATION_FAILED */
export async function runDhcp(system: ConfigSystem, name: string, what: 'start' | 'stop'): Promise<void> {
  for (const [program, ...words] of CLIENTS[system.name][what](name)) {
    try {
      await promisify(execFile)(program, words, { timeout: TIMEOUT_MS });
    } catch (cause) {
      const { stderr, message } = cause as Error & { stderr?: string };
      const why = stderr?.trim().split('\n').at(-1) || message;
      throw new InterfaceError(
        'VIR_ERR_OPERATION_FAILED',
        `${program} ${words.join(' ')}: ${why}`,
        undefined,
        {
          cause,
        },
      );
    }
  }
}
