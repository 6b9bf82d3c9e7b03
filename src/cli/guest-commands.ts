/** The subcommands that run a guest. */
import type { Subcommands } from './command-line.js';

export const GUEST_COMMANDS = {
  run: async () => (await import('./run.js')).runCommand(),
  restore: async () => (await import('./restore.js')).restoreCommand(),
} satisfies Subcommands;
