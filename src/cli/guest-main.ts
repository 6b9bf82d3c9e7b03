/** The `xenner` command's program for the subcommands that run a guest, where the start counts. */
import { runCommandLine } from './command-line.js';
import { GUEST_COMMANDS } from './guest-commands.js';

void runCommandLine(GUEST_COMMANDS);
