/** The subcommands of `xenner img`, by qemu-img's names. Each file is loaded when its command is run. */
import type { Subcommands } from './command-line.js';

export const IMG_COMMANDS = {
  commit: async () => (await import('./img/commit.js')).commitCommand(),
  compare: async () => (await import('./img/compare.js')).compareCommand(),
  convert: async () => (await import('./img/convert.js')).convertCommand(),
  check: async () => (await import('./img/check.js')).checkCommand(),
  create: async () => (await import('./img/create.js')).createCommand(),
  info: async () => (await import('./img/info.js')).infoCommand(),
  map: async () => (await import('./img/map.js')).mapCommand(),
  measure: async () => (await import('./img/measure.js')).measureCommand(),
  resize: async () => (await import('./img/resize.js')).resizeCommand(),
  snapshot: async () => (await import('./img/snapshot.js')).snapshotCommand(),
  rebase: async () => (await import('./img/rebase.js')).rebaseCommand(),
} satisfies Subcommands;
