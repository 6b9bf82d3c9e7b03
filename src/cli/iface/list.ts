/** `xenner iface-list`: the host's network interfaces, in virsh's columns. */
import { Command } from 'commander';
import { json, virshTable } from '../virsh-text.js';
import { openInterfaces } from './interfaces.js';

interface ListOptions {
  inactive?: true;
  all?: true;
  json?: true;
}

export function ifaceListCommand(): Command {
  return new Command('iface-list')
    .description("list the host's network interfaces")
    .option('--inactive', 'those that are down')
    .option('--all', 'those that are up and those that are down')
    .option('--json', 'as JSON')
    .action(({ inactive, all, json: asJson }: ListOptions) => {
      const filter = { active: !inactive || all, inactive: inactive || all };
      const interfaces = openInterfaces()
        .list(filter)
        .map(({ name, isActive, mac }) => ({
          name,
          state: isActive ? 'active' : 'inactive',
          mac,
        }));
      const rows = interfaces.map(({ name, state, mac }) => [name, state, mac ?? '']);
      process.stdout.write(asJson ? json(interfaces) : virshTable(['Name', 'State', 'MAC Address'], rows));
    });
}
