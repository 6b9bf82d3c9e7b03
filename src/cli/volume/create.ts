/** `xenner vol-create`, `vol-create-as`, `vol-create-from`, `vol-clone`. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { StoragePool } from '../../mgmt/storage/pool/storage-pool.js';
import { writeVolume } from '../../mgmt/storage/pool/volume-xml.js';
import { XmlWriter } from '../../mgmt/xml/writer.js';
import { findPool } from '../pool/pools.js';
import { virshSay } from '../virsh-text.js';
import { addPoolChoice, findVolume, type PoolChoice, scaledBytes } from './volumes.js';

interface CreateChoice {
  preallocMetadata?: true;
  reflink?: true;
}

const PREALLOC = ['--prealloc-metadata', 'give all clusters of a qcow2 image their places'] as const;
const REFLINK = ['--reflink', 'share blocks with what it is a copy of: where the file system can'] as const;

const optionsOf = ({ preallocMetadata }: CreateChoice) => ({
  preallocateMetadata: preallocMetadata === true,
});

export function volCreateCommand(): Command {
  return new Command('vol-create')
    .description('make a volume, by libvirt XML')
    .argument('<pool>', 'name or UUID')
    .argument('<file>', 'the document')
    .option(...PREALLOC)
    .action(async (pool: string, file: string, choice: CreateChoice) => {
      const volume = await (await findPool(pool)).createVolume(readFileSync(file, 'utf8'), optionsOf(choice));
      virshSay(`Vol ${volume.name} created from ${file}`);
    });
}

interface AsChoice extends CreateChoice {
  allocation?: number;
  format?: string;
  backingVol?: string;
  backingVolFormat?: string;
  printXml?: true;
}

export function volCreateAsCommand(): Command {
  return new Command('vol-create-as')
    .description('make a volume')
    .argument('<pool>', 'name or UUID')
    .argument('<name>', 'of the volume')
    .argument('<capacity>', 'what a guest sees; bytes, or with a unit: 10G', scaledBytes)
    .option('--allocation <size>', 'what has its space at once; by default all', scaledBytes)
    .option('--format <format>', 'raw, qcow2, vpc (a VHD) or dir')
    .option('--backing-vol <vol>', 'what it lies above, and what is not in it comes from')
    .option('--backing-vol-format <format>', 'of that')
    .option(...PREALLOC)
    .option('--print-xml', 'print the document and do nothing')
    .action(async (poolName: string, name: string, capacity: number, choice: AsChoice) => {
      const pool = await findPool(poolName);
      const xml = await volumeXml(pool, name, capacity, choice);
      if (choice.printXml) process.stdout.write(`${xml}\n`);
      else virshSay(`Vol ${(await pool.createVolume(xml, optionsOf(choice))).name} created`);
    });
}

async function volumeXml(
  pool: StoragePool,
  name: string,
  capacity: number,
  choice: AsChoice,
): Promise<string> {
  const { allocation, format, backingVol, backingVolFormat } = choice;
  const backing = backingVol === undefined ? undefined : await findVolume(backingVol, pool.name);
  const xml = new XmlWriter();
  return xml.element('volume', {}, () => {
    xml.leaf('name', {}, name).leaf('capacity', {}, capacity).optional('allocation', allocation);
    if (format !== undefined) xml.element('target', {}, () => xml.leaf('format', { type: format }));
    if (backing === undefined) return;
    xml.element('backingStore', {}, () => {
      xml.leaf('path', {}, backing.path);
      if (backingVolFormat !== undefined) xml.leaf('format', { type: backingVolFormat });
    });
  }).text;
}

export function volCreateFromCommand(): Command {
  return new Command('vol-create-from')
    .description('make a volume with the contents of another one, by libvirt XML')
    .argument('<pool>', 'name or UUID')
    .argument('<file>', 'the document')
    .argument('<vol>', 'the other one: its name, or its path')
    .option('--inputpool <pool>', 'its pool; by default the same')
    .option(...REFLINK)
    .action(
      async (poolName: string, file: string, vol: string, choice: CreateChoice & { inputpool?: string }) => {
        const pool = await findPool(poolName);
        const source = await findVolume(
          vol,
          choice.inputpool ?? (vol.startsWith('/') ? undefined : poolName),
        );
        const { name } = await pool.createVolumeFrom(readFileSync(file, 'utf8'), source, {
          reflink: choice.reflink === true,
        });
        virshSay(`Vol ${name} created from input vol ${vol}`);
      },
    );
}

interface CloneChoice extends CreateChoice, PoolChoice {
  printXml?: true;
}

export function volCloneCommand(): Command {
  const command = new Command('vol-clone')
    .description('copy a volume within its pool')
    .argument('<vol>', 'its name, or its path')
    .argument('<newname>', "the copy's name");
  return addPoolChoice(command)
    .option(...REFLINK)
    .option('--print-xml', 'print the document and do nothing')
    .action(async (vol: string, newName: string, pool: string | undefined, choice: CloneChoice) => {
      const source = await findVolume(vol, pool ?? choice.pool);
      const xml = writeVolume({ ...source.definition, name: newName });
      if (choice.printXml) process.stdout.write(`${xml}\n`);
      else {
        const { name } = await source.pool.createVolumeFrom(xml, source, {
          reflink: choice.reflink === true,
        });
        virshSay(`Vol ${name} cloned from ${vol}`);
      }
    });
}
