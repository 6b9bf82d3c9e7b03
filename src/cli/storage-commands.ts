/** The subcommands for storage pools and volumes, by virsh's names. Each file is loaded when one of its commands is run. */
import type { Subcommands } from './command-line.js';

export const STORAGE_COMMANDS = {
  'pool-define': async () => (await import('./pool/define.js')).poolDefineCommand(),
  'pool-define-as': async () => (await import('./pool/define.js')).poolDefineAsCommand(),
  'pool-create': async () => (await import('./pool/define.js')).poolCreateCommand(),
  'pool-create-as': async () => (await import('./pool/define.js')).poolCreateAsCommand(),
  'pool-build': async () => (await import('./pool/lifecycle.js')).poolBuildCommand(),
  'pool-start': async () => (await import('./pool/lifecycle.js')).poolStartCommand(),
  'pool-destroy': async () => (await import('./pool/lifecycle.js')).poolDestroyCommand(),
  'pool-refresh': async () => (await import('./pool/lifecycle.js')).poolRefreshCommand(),
  'pool-delete': async () => (await import('./pool/lifecycle.js')).poolDeleteCommand(),
  'pool-undefine': async () => (await import('./pool/lifecycle.js')).poolUndefineCommand(),
  'pool-autostart': async () => (await import('./pool/lifecycle.js')).poolAutostartCommand(),
  'pool-list': async () => (await import('./pool/list.js')).poolListCommand(),
  'pool-info': async () => (await import('./pool/info.js')).poolInfoCommand(),
  'pool-dumpxml': async () => (await import('./pool/info.js')).poolDumpxmlCommand(),
  'pool-name': async () => (await import('./pool/info.js')).poolNameCommand(),
  'pool-uuid': async () => (await import('./pool/info.js')).poolUuidCommand(),
} satisfies Subcommands;
