/** `xenner iface-start`, `iface-destroy`, `iface-bridge`, `iface-unbridge`. */
import { Command, InvalidArgumentError } from 'commander';
import { virshSay } from '../virsh-text.js';
import { addForce, openInterfaces } from './interfaces.js';

interface Options {
  force?: true;
  start: boolean;
  stp: boolean;
  delay?: number;
}

export function ifaceStartCommand(): Command {
  return interfaceCommand('iface-start', 'start a network interface, as it is configured').action(
    async (which: string, options: Options) => {
      const found = openInterfaces().lookup(which);
      await found.start({ force: options.force });
      virshSay(`Interface ${found.name} started`);
    },
  );
}

export function ifaceDestroyCommand(): Command {
  return interfaceCommand('iface-destroy', 'stop a network interface').action(
    async (which: string, options: Options) => {
      const found = openInterfaces().lookup(which);
      await found.destroy({ force: options.force });
      virshSay(`Interface ${found.name} destroyed`);
    },
  );
}

export function ifaceBridgeCommand(): Command {
  return interfaceCommand(
    'iface-bridge',
    'make a bridge that has an interface as its port, and its addresses',
  )
    .argument('<bridge>', "the new one's name")
    .option('--no-stp', 'without the spanning tree protocol')
    .option('--delay <seconds>', 'what a new port waits', seconds)
    .option('--no-start', 'define it only')
    .action(async (which: string, bridge: string, { force, start, stp, delay }: Options) => {
      const found = openInterfaces().lookup(which);
      await found.bridge(bridge, { force, start, stp, delay });
      process.stdout.write(`Created bridge ${bridge} with attached device ${found.name}\n`);
      if (start) virshSay(`Bridge interface ${bridge} started`);
    });
}

export function ifaceUnbridgeCommand(): Command {
  return interfaceCommand('iface-unbridge', 'undo a bridge: its one port gets its addresses')
    .option('--no-start', 'define it only')
    .action(async (which: string, { force, start }: Options) => {
      const found = openInterfaces().lookup(which);
      const port = await found.unbridge({ force, start });
      process.stdout.write(`Device ${port} un-attached from bridge ${found.name}\n`);
      if (start) virshSay(`Interface ${port} started`);
    });
}

function interfaceCommand(name: string, description: string): Command {
  const command = new Command(name).description(description);
  return addForce(command.argument('<interface>', 'name or MAC address'));
}

function seconds(text: string): number {
  if (/^\d{1,2}(\.\d{1,6})?$/.test(text) && Number(text) <= 30) return Number(text);
  throw new InvalidArgumentError('0 to 30 seconds.');
}
