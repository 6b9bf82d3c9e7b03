/** The `xenner` command's program for everything: the one in guest-main.ts knows less, and starts sooner. */
import { runCommandLine } from './command-line.js';
import { DOMAIN_COMMANDS } from './domain-commands.js';
import { GUEST_COMMANDS } from './guest-commands.js';
import { HOST_COMMANDS } from './host-commands.js';
import { INTERFACE_COMMANDS } from './interface-commands.js';
import { STORAGE_COMMANDS } from './storage-commands.js';

void runCommandLine({
  ...GUEST_COMMANDS,
  ...DOMAIN_COMMANDS,
  ...STORAGE_COMMANDS,
  ...INTERFACE_COMMANDS,
  ...HOST_COMMANDS,
  inspect: async () => (await import('./inspect.js')).inspectCommand(),
  config: async () => (await import('./config.js')).configCommand(),
  import: async () => (await import('./import.js')).importCommand(),
  img: async () => (await import('./img/img.js')).imgCommand(),
  host: async () => (await import('./host/host.js')).hostCommand(),
  // xl's name of it.
  info: async () => (await import('./host/host.js')).hostCommand().name('info'),
});
