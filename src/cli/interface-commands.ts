/** The subcommands for the host's network interfaces, by virsh's names. Each file is loaded when one of its commands is run. */
import type { Subcommands } from './command-line.js';

export const INTERFACE_COMMANDS = {
  'iface-list': async () => (await import('./iface/list.js')).ifaceListCommand(),
  'iface-name': async () => (await import('./iface/info.js')).ifaceNameCommand(),
  'iface-mac': async () => (await import('./iface/info.js')).ifaceMacCommand(),
  'iface-dumpxml': async () => (await import('./iface/info.js')).ifaceDumpxmlCommand(),
  'iface-define': async () => (await import('./iface/define.js')).ifaceDefineCommand(),
  'iface-undefine': async () => (await import('./iface/define.js')).ifaceUndefineCommand(),
  'iface-edit': async () => (await import('./iface/define.js')).ifaceEditCommand(),
  'iface-start': async () => (await import('./iface/lifecycle.js')).ifaceStartCommand(),
  'iface-destroy': async () => (await import('./iface/lifecycle.js')).ifaceDestroyCommand(),
  'iface-bridge': async () => (await import('./iface/lifecycle.js')).ifaceBridgeCommand(),
  'iface-unbridge': async () => (await import('./iface/lifecycle.js')).ifaceUnbridgeCommand(),
  'iface-begin': async () => (await import('./iface/change.js')).ifaceBeginCommand(),
  'iface-commit': async () => (await import('./iface/change.js')).ifaceCommitCommand(),
  'iface-rollback': async () => (await import('./iface/change.js')).ifaceRollbackCommand(),
} satisfies Subcommands;
