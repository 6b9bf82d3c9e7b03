/** `xenner nodedev-list`, `nodedev-create`, `nodedev-destroy`: host adapters of Fibre Channel, and virtual ones of them (NPIV). */
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { listFcHosts } from '../mgmt/storage/pool/npiv.js';
import { createVhba, destroyVhba } from '../mgmt/storage/pool/vhba.js';
import { json, virshSay } from './virsh-text.js';

export function nodedevListCommand(): Command {
  return new Command('nodedev-list')
    .description(
      "the host's devices of a kind: adapters of Fibre Channel, or those that can have virtual ones",
    )
    .addOption(
      new Option('--cap <kind>', 'of which kind').choices(['fc_host', 'vports']).makeOptionMandatory(),
    )
    .option('--json', 'as JSON, with their names in the world')
    .action(({ cap, json: asJson }: { cap: 'fc_host' | 'vports'; json?: true }) => {
      const hosts = listFcHosts().filter(({ vports }) => cap === 'fc_host' || vports !== undefined);
      process.stdout.write(asJson ? json(hosts) : `${hosts.map(({ name }) => `${name}\n`).join('')}\n`);
    });
}

export function nodedevCreateCommand(): Command {
  return new Command('nodedev-create')
    .description('make a virtual host adapter (vHBA), by libvirt XML')
    .argument('<file>', 'the document')
    .action((file: string) => {
      virshSay(`Node device ${createVhba(readFileSync(file, 'utf8'))} created from ${file}`);
    });
}

export function nodedevDestroyCommand(): Command {
  return new Command('nodedev-destroy')
    .description('take a virtual host adapter away')
    .argument('<device>', 'scsi_host5, or its names in the world: WWNN,WWPN')
    .action((device: string) => {
      destroyVhba(device);
      virshSay(`Destroyed node device '${device}'`);
    });
}
