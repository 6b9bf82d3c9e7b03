/** A guest's disk as its boot loader sees it. */
import type { XennerError } from '../../../base/errors.js';
import { MAX_BOOT_CONFIG_BYTES } from '../../../base/limits.js';
import type { ByteSource } from '../byte-source.js';
import { noSuchFile } from '../errors.js';
import type { GuestDisk, Volume } from '../guest-disk.js';
import type { GuestFiles } from '../guest-files.js';
import type { BootDisk, BootFile } from './boot-config.js';

/** @param config the volume that has the configuration, where everything is that is not said to be elsewhere */
export function bootDisk(disk: GuestDisk, config: Volume): BootDisk {
  const files = (file: BootFile): GuestFiles => filesOf(disk, config.name, file);
  return {
    volume: config.name,
    findDevice: (name) => findDevice(disk, name),
    search: async (by, what) => {
      for (const volume of disk.volumes) if (await holds(volume, by, what)) return volume.name;
      return undefined;
    },
    readText: (file) =>
      unlessAbsent(async () => {
        const bytes = await files(file).readFile(file.path, MAX_BOOT_CONFIG_BYTES);
        return bytes.toString('utf8').replace(/\r\n/g, '\n');
      }),
    kindOf: (file) =>
      unlessAbsent(async () => {
        const { kind } = await files(file).stat(file.path);
        return kind === 'file' || kind === 'directory' ? kind : undefined;
      }),
    sizeOf: async (file) => (await files(file).stat(file.path)).sizeBytes,
    list: (file) => files(file).readdir(file.path),
  };
}

/** The file that an entry names. @throws XennerError (rejection) EGUEST_NO_FILE, EGUEST_FILE_KIND */
export function openBootFile(disk: GuestDisk, configVolume: string, file: BootFile): Promise<ByteSource> {
  return filesOf(disk, configVolume, file).openFile(file.path);
}

function filesOf(disk: GuestDisk, configVolume: string, file: BootFile): GuestFiles {
  const name = file.volume ?? configVolume;
  const files = disk.volumes.find((volume) => volume.name === name)?.files;
  if (files === undefined) throw noSuchFile(`(${name})${file.path}`);
  return files;
}

async function unlessAbsent<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    if (['EGUEST_NO_FILE', 'EGUEST_FILE_KIND'].includes((error as XennerError).code)) return undefined;
    throw error;
  }
}

/**
 * GRUB's names of devices, without the number of the disk, for there is one: `hd0`, `hd0,1`, `hd0,msdos1`, `xen/xvda,gpt2`,
 * `lvm/vg-root`. Undefined: no such one.
 */
function findDevice(disk: GuestDisk, name: string): string | undefined {
  if (name.startsWith('lvm/')) return disk.volumes.find((volume) => volume.name === name)?.name;
  const comma = name.indexOf(',');
  if (comma < 0) return disk.volumes.find((volume) => volume.name === 'hd0')?.name;
  const number = Number(/^(?:msdos|gpt)?(\d{1,3})$/.exec(name.slice(comma + 1))?.[1] ?? Number.NaN);
  return disk.volumes.find(({ partition }) => partition?.number === number)?.name;
}

async function holds(volume: Volume, by: 'uuid' | 'label' | 'file', what: string): Promise<boolean> {
  const { files } = volume;
  if (files === undefined) return false;
  if (by === 'uuid') return files.fileSystem.uuid === what.toLowerCase();
  if (by === 'label') return files.fileSystem.label === what;
  return files.exists(what);
}
