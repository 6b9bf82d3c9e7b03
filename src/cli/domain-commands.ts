/** The subcommands for live domains. Each file is loaded when one of its commands is run. */
import type { Subcommands } from './command-line.js';

export const DOMAIN_COMMANDS = {
  create: async () => (await import('./create.js')).createCommand(),
  list: async () => (await import('./list.js')).listCommand(),
  console: async () => (await import('./console.js')).consoleCommand(),
  shutdown: async () => (await import('./shutdown.js')).shutdownCommand(),
  reboot: async () => (await import('./shutdown.js')).rebootCommand(),
  destroy: async () => (await import('./destroy.js')).destroyCommand(),
  pause: async () => (await import('./pause.js')).pauseCommand(),
  unpause: async () => (await import('./pause.js')).unpauseCommand(),
  domid: async () => (await import('./domain-info.js')).domidCommand(),
  domname: async () => (await import('./domain-info.js')).domnameCommand(),
  dominfo: async () => (await import('./domain-info.js')).dominfoCommand(),
  uptime: async () => (await import('./domain-info.js')).uptimeCommand(),
  rename: async () => (await import('./guest-control.js')).renameCommand(),
  save: async () => (await import('./save.js')).saveCommand(),
  'mem-set': async () => (await import('./guest-control.js')).memSetCommand(),
  'vcpu-set': async () => (await import('./guest-control.js')).vcpuSetCommand(),
  sysrq: async () => (await import('./guest-control.js')).sysrqCommand(),
  'block-list': async () => (await import('./block.js')).blockListCommand(),
  'block-attach': async () => (await import('./block.js')).blockAttachCommand(),
  'block-detach': async () => (await import('./block.js')).blockDetachCommand(),
  'network-list': async () => (await import('./network.js')).networkListCommand(),
  'network-attach': async () => (await import('./network.js')).networkAttachCommand(),
  'network-detach': async () => (await import('./network.js')).networkDetachCommand(),
  'xenstore-ls': async () => (await import('./xenstore-ls.js')).xenstoreLsCommand(),
} satisfies Subcommands;
