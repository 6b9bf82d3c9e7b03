/** `xenner iface-name`, `iface-mac`, `iface-dumpxml`. */
import { Command } from 'commander';
import { HostInterfaces } from '../../mgmt/network/host-interfaces.js';
import { virshSay } from '../virsh-text.js';

export function ifaceNameCommand(): Command {
  return new Command('iface-name')
    .description('the name of the interface with a MAC address')
    .argument('<mac>', 'its MAC address')
    .action((mac: string) => virshSay(new HostInterfaces().lookupByMac(mac).name));
}

export function ifaceMacCommand(): Command {
  return new Command('iface-mac')
    .description("an interface's MAC address")
    .argument('<interface>', 'its name')
    .action((name: string) => virshSay(new HostInterfaces().lookupByName(name).mac ?? ''));
}

export function ifaceDumpxmlCommand(): Command {
  return new Command('iface-dumpxml')
    .description("an interface's document")
    .argument('<interface>', 'name or MAC address')
    .action((which: string) => {
      process.stdout.write(`${new HostInterfaces().lookup(which).xml}\n`);
    });
}
