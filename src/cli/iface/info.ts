/** `xenner iface-name`, `iface-mac`, `iface-dumpxml`. */
import { Command } from 'commander';
import { virshSay } from '../virsh-text.js';
import { openInterfaces } from './interfaces.js';

export function ifaceNameCommand(): Command {
  return new Command('iface-name')
    .description('the name of the interface with a MAC address')
    .argument('<mac>', 'its MAC address')
    .action((mac: string) => virshSay(openInterfaces().lookupByMac(mac).name));
}

export function ifaceMacCommand(): Command {
  return new Command('iface-mac')
    .description("an interface's MAC address")
    .argument('<interface>', 'its name')
    .action((name: string) => virshSay(openInterfaces().lookupByName(name).mac ?? ''));
}

export function ifaceDumpxmlCommand(): Command {
  return new Command('iface-dumpxml')
    .description("an interface's document")
    .argument('<interface>', 'name or MAC address')
    .option('--inactive', 'as it is configured')
    .action((which: string, { inactive }: { inactive?: true }) => {
      const found = openInterfaces().lookup(which);
      process.stdout.write(`${inactive ? found.inactiveXml : found.xml}\n`);
    });
}
