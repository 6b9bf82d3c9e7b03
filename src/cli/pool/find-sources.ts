/** `xenner find-storage-pool-sources`, `find-storage-pool-sources-as`: what pools could be made from. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { XmlWriter } from '../../mgmt/xml/writer.js';
import { openPools } from './pools.js';

export function findPoolSourcesCommand(): Command {
  return new Command('find-storage-pool-sources')
    .description('what storage pools of a type could be made from, as libvirt XML')
    .argument('<type>', 'netfs, logical, ...')
    .argument('[file]', 'a document, <source>, that says where to look')
    .action(async (type: string, file: string | undefined) => {
      await print(type, file === undefined ? undefined : readFileSync(file, 'utf8'));
    });
}

export function findPoolSourcesAsCommand(): Command {
  return new Command('find-storage-pool-sources-as')
    .description('the same, with words in place of a document')
    .argument('<type>', 'netfs, logical, ...')
    .argument('[host]', 'where to look')
    .argument('[port]', 'its port')
    .argument('[initiator]', 'the IQN to look with')
    .action(async (type: string, host?: string, port?: string, initiator?: string) => {
      await print(type, host === undefined ? undefined : sourceXml(host, port, initiator));
    });
}

async function print(type: string, source: string | undefined): Promise<void> {
  process.stdout.write(`${await openPools().findSources(type, source)}\n`);
}

function sourceXml(name: string, port: string | undefined, initiator: string | undefined): string {
  const xml = new XmlWriter();
  return xml.element('source', {}, () => {
    xml.leaf('host', { name, port });
    if (initiator !== undefined) xml.element('initiator', {}, () => xml.leaf('iqn', { name: initiator }));
  }).text;
}
