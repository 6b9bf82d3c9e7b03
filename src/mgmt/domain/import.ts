/** An export of XenServer becomes a folder with its disks and a configuration of xl's, which `xenner create` boots. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { XennerError } from '../../base/errors.js';
import { openImage } from '../storage/open-image.js';
import { createQcow2 } from '../storage/qcow2/create.js';
import { createVhd } from '../storage/vhd/create.js';
import { importXva, type Progress, readXva, type XvaDisk } from '../storage/xva/import.js';
import { toXl } from './config/xl/write.js';
import { readXvaConfig } from './config/xva/archive.js';
import { bootable, type DiskDefinition, type DomainDefinition } from './definition.js';

export const IMPORT_FORMATS = ['raw', 'qcow2', 'vhd'] as const;
export type ImportFormat = (typeof IMPORT_FORMATS)[number];

export interface Imported {
  readonly definition: DomainDefinition;
  /** Its path; undefined: nothing was written, as no such guest could be booted. */
  readonly config: string | undefined;
}

const MAX_NAME = 64;

/**
 * Of a failed import nothing is left but the folder.
 * @param folder made if it is not there; files in it are not replaced
 * @throws XennerError (rejection) what readXvaConfig() and importXva() throw; EIMPORT: a file is in the way
 */
export async function importArchive(
  path: string,
  folder: string,
  format: ImportFormat,
  progress: Progress,
): Promise<Imported> {
  const { definition: found } = await readXvaConfig(path);
  if (!bootable(found)) return { definition: found, config: undefined };
  const name = domainName(found.name);
  const target = (file: string) => join(resolve(folder), `${name}${file}`);
  const own = found.disks.filter((disk) => disk.format === 'xva');
  const disks = own.map((disk) => ({ disk, path: target(`-${disk.vdev}.${format}`) }));
  const definition = {
    ...found,
    name,
    disks: found.disks.map((disk) => {
      const image = disks.find((other) => other.disk === disk);
      return image === undefined
        ? disk
        : { ...disk, path: image.path, format, member: undefined, sizeBytes: undefined };
    }),
  };
  const config = target('.cfg');
  mkdirSync(folder, { recursive: true });
  const made: string[] = [];
  try {
    writeFileSync(config, toXl(definition), { flag: 'wx', mode: 0o600 });
    made.push(config);
    for (const { disk, path } of disks) {
      await createImage(path, format, disk);
      made.push(path);
    }
    await fill(path, disks, format, progress);
    return { definition, config };
  } catch (error) {
    for (const file of made) rmSync(file, { force: true });
    throw inTheWay(error);
  }
}

/** XenServer's names are for people; ours are names of files as well. */
function domainName(name: string): string {
  const plain = name.replace(/[^\w.+:@-]+/g, '-').replace(/^[.-]+|-+$/g, '');
  return plain.slice(0, MAX_NAME) || 'imported';
}

async function createImage(path: string, format: ImportFormat, { sizeBytes }: DiskDefinition): Promise<void> {
  if (format === 'qcow2') return createQcow2(path, { sizeBytes });
  if (format === 'vhd') return createVhd(path, { sizeBytes });
  const file = await open(path, 'wx', 0o600);
  try {
    await file.truncate(sizeBytes!);
  } catch (error) {
    rmSync(path);
    throw error;
  } finally {
    await file.close();
  }
}

async function fill(
  path: string,
  disks: readonly { readonly disk: DiskDefinition; readonly path: string }[],
  format: ImportFormat,
  progress: Progress,
): Promise<void> {
  const images: XvaDisk[] = [];
  try {
    for (const { disk, path: image } of disks)
      images.push({ member: disk.member!, image: await openImage(image, { format }) });
    await importXva(readXva(path), images, progress);
  } finally {
    await Promise.all(images.map(({ image }) => image.close()));
  }
}

function inTheWay(error: unknown): unknown {
  const { code, path } = error as NodeJS.ErrnoException;
  if (code !== 'EEXIST') return error;
  return new XennerError('EIMPORT', `${path} is there already`, 'import into another folder', {
    cause: error,
  });
}
