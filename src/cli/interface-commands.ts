/** The subcommands for the host's network interfaces, by virsh's names. Each file is loaded when one of its commands is run. */
import type { Subcommands } from './command-line.js';

export const INTERFACE_COMMANDS = {
  'iface-list': async () => (await import('./iface/list.js')).ifaceListCommand(),
  'iface-name': async () => (await import('./iface/info.js')).ifaceNameCommand(),
  'iface-mac': async () => (await import('./iface/info.js')).ifaceMacCommand(),
  'iface-dumpxml': async () => (await import('./iface/info.js')).ifaceDumpxmlCommand(),
} satisfies Subcommands;
