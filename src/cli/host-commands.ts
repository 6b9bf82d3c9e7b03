/** The subcommands for the host itself, by virsh's names where virsh has them. Each file is loaded when one of its commands is run. */
import type { Subcommands } from './command-line.js';

export const HOST_COMMANDS = {
  hostname: async () => (await import('./host/node.js')).hostnameCommand(),
  nodeinfo: async () => (await import('./host/node.js')).nodeinfoCommand(),
  nodecpumap: async () => (await import('./host/node.js')).nodecpumapCommand(),
  nodecpustats: async () => (await import('./host/node.js')).nodecpustatsCommand(),
  capabilities: async () => (await import('./host/node.js')).capabilitiesCommand(),
  nodememstats: async () => (await import('./host/memory.js')).nodememstatsCommand(),
  freecell: async () => (await import('./host/memory.js')).freecellCommand(),
  freepages: async () => (await import('./host/memory.js')).freepagesCommand(),
  allocpages: async () => (await import('./host/memory.js')).allocpagesCommand(),
  'node-memory-tune': async () => (await import('./host/memory.js')).nodeMemoryTuneCommand(),
  hugepages: async () => (await import('./host/hugepages.js')).hugepagesCommand(),
  ksm: async () => (await import('./host/ksm.js')).ksmCommand(),
} satisfies Subcommands;
