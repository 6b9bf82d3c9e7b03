/** `xenner network-list`, `network-attach` and `network-detach`: network devices of live domains. */
import { Command } from 'commander';
import { ask } from '../mgmt/domain/client.js';
import { parseVif, withoutEffect } from '../mgmt/domain/config/xl/vif.js';
import { findDomain, findDomains } from '../mgmt/domain/live/runtime-directory.js';
import { withoutBridge } from '../mgmt/domain/nics.js';
import { parsed } from './device-options.js';

export function networkListCommand(): Command {
  return new Command('network-list')
    .description('list the network devices of domains; state 4: the guest uses it')
    .argument('<domains...>', 'names or IDs')
    .option('--json', 'print JSON')
    .action(async (which: string[], { json }: { json?: true }) => {
      const all = await findDomains(which);
      const nics = await Promise.all(
        all.map(async (domain) => {
          const list = await ask(domain, 'network-list', {});
          return list.map((nic) => ({ domid: domain.domid, ...nic }));
        }),
      );
      const rows = nics.flat();
      // xl's columns; -1 stands for what the guest has not said.
      const text = rows.map(({ devid, mac, state = 0, eventChannel = -1, txRingRef = -1, ...more }) => {
        const { rxRingRef = -1, backend } = more;
        const numbers = [
          String(devid).padStart(6),
          String(state).padStart(5),
          String(eventChannel).padStart(6),
        ];
        const rings = `${String(txRingRef).padStart(5)}/${String(rxRingRef).padEnd(11)}`;
        return `${String(devid).padEnd(3)} 0  ${mac} ${numbers.join(' ')} ${rings} ${backend}`;
      });
      const header = 'Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path';
      process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : `${[header, ...text].join('\n')}\n`);
    });
}

export function networkAttachCommand(): Command {
  return new Command('network-attach')
    .description('plug a network device into a live domain')
    .argument('<domain>', 'name or ID')
    .argument(
      '[spec...]',
      "as xl's vif: bridge=br0 mac=00:16:3e:00:00:01; without a bridge passt is its network",
    )
    .action(async (which: string, words: string[]) => {
      const spec = words.join(',');
      // What is wrong with it the domain says as well; what is only ignored, nobody but us.
      parsed('network-attach', (say) => {
        const nic = parseVif(spec, say);
        for (const text of [...withoutEffect(nic), withoutBridge(nic) ?? []].flat()) say('ignored', text);
        return nic;
      });
      await ask(await findDomain(which), 'network-attach', { spec });
    });
}

export function networkDetachCommand(): Command {
  return new Command('network-detach')
    .description('unplug a network device when the guest lets go of it')
    .argument('<domain>', 'name or ID')
    .argument('<device>', 'its number (Idx), or its MAC address')
    .option('-f, --force', 'do not ask the guest')
    .action(async (which: string, device: string, { force }: { force?: true }) => {
      await ask(await findDomain(which), 'network-detach', { device, force: force === true });
    });
}
