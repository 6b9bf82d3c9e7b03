/** `xenner pool-define`, `pool-create`, and both with options in place of a document (`-as`). */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { POOL_TYPE_NAMES } from '../../mgmt/storage/pool/pool-types.js';
import { XmlWriter } from '../../mgmt/xml/writer.js';
import { virshSay } from '../virsh-text.js';
import { addBuildOptions, type BuildChoice, buildOptions, openPools } from './pools.js';

interface AsOptions extends BuildChoice {
  printXml?: true;
  sourceHost?: string;
  sourcePath?: string;
  sourceDev?: string;
  sourceName?: string;
  target?: string;
  sourceFormat?: string;
  sourceProtocolVer?: string;
}

export function poolDefineCommand(): Command {
  return new Command('pool-define')
    .description('define a storage pool, or change its definition, by libvirt XML')
    .argument('<file>', 'the document')
    .action(async (file: string) => {
      const pool = await openPools().define(readFileSync(file, 'utf8'));
      virshSay(`Pool ${pool.name} defined from ${file}`);
    });
}

export function poolCreateCommand(): Command {
  const command = new Command('pool-create')
    .description('start a storage pool that is gone when it is stopped, by libvirt XML')
    .argument('<file>', 'the document')
    .option('--build', 'build it before');
  return addBuildOptions(command).action(async (file: string, options: BuildChoice) => {
    const pool = await openPools().create(readFileSync(file, 'utf8'), buildOptions(options));
    virshSay(`Pool ${pool.name} created from ${file}`);
  });
}

export function poolDefineAsCommand(): Command {
  return asCommand('pool-define-as', 'define a storage pool').action(
    async (name: string, type: string, options: AsOptions) => {
      const xml = poolXml(name, type, options);
      if (options.printXml) process.stdout.write(`${xml}\n`);
      else virshSay(`Pool ${(await openPools().define(xml)).name} defined`);
    },
  );
}

export function poolCreateAsCommand(): Command {
  const command = asCommand('pool-create-as', 'start a storage pool that is gone when it is stopped');
  return addBuildOptions(command.option('--build', 'build it before')).action(
    async (name: string, type: string, options: AsOptions) => {
      const xml = poolXml(name, type, options);
      if (options.printXml) process.stdout.write(`${xml}\n`);
      else virshSay(`Pool ${(await openPools().create(xml, buildOptions(options))).name} created`);
    },
  );
}

function asCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .argument('<name>', "the pool's name")
    .argument('<type>', POOL_TYPE_NAMES.join(', '))
    .option('--print-xml', 'print the document and do nothing')
    .option('--source-host <host>', 'where it is served')
    .option('--source-path <path>', 'what of that is served')
    .option('--source-dev <path>', 'the device that it is on')
    .option('--source-name <name>', 'the volume group')
    .option('--target <path>', 'where its volumes are')
    .option('--source-format <format>', 'what is on the device, or how it is served')
    .option('--source-protocol-ver <version>', 'of NFS');
}

function poolXml(name: string, type: string, options: AsOptions): string {
  const { sourceHost, sourcePath, sourceDev, sourceName, target, sourceFormat, sourceProtocolVer } = options;
  const xml = new XmlWriter();
  const parts: [name: string, attribute: string, value: string | undefined][] = [
    ['host', 'name', sourceHost],
    ['dir', 'path', sourcePath],
    ['device', 'path', sourceDev],
    ['format', 'type', sourceFormat],
    ['protocol', 'ver', sourceProtocolVer],
  ];
  const given = parts.filter(([, , value]) => value !== undefined);
  return xml.element('pool', { type }, () => {
    xml.leaf('name', {}, name);
    if (given.length > 0 || sourceName !== undefined)
      xml.element('source', {}, () => {
        for (const [element, attribute, value] of given) xml.leaf(element, { [attribute]: value });
        xml.optional('name', sourceName);
      });
    if (target !== undefined) xml.element('target', {}, () => xml.leaf('path', {}, target));
  }).text;
}
