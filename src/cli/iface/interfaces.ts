/** The host's interfaces for commands, which say on standard error what was met by the way. */
import type { Command } from 'commander';
import { HostInterfaces } from '../../mgmt/network/host-interfaces.js';
import { printableText } from '../printable.js';

export function openInterfaces(): HostInterfaces {
  return new HostInterfaces({ report: (line) => process.stderr.write(`xenner: ${printableText(line)}\n`) });
}

export function addForce(command: Command): Command {
  return command.option('--force', 'even if it cuts your connection, or the default route');
}
