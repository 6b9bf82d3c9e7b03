/** Finds the boot loader's configuration on a guest's disk, where pygrub looks for it and in its order. */
import { XennerError } from '../../../base/errors.js';
import type { GuestDisk, Volume } from '../guest-disk.js';
import type { BootConfig, BootDisk } from './boot-config.js';
import { bootDisk } from './boot-disk.js';
import { parseGrubLegacy } from './grub-legacy.js';
import { runGrub2 } from './grub2.js';
import { parseSyslinux } from './syslinux.js';

type Reader = (text: string, path: string, disk: BootDisk) => Promise<BootConfig>;

/** Each with and without /boot, which may be a volume of its own (xen, tools/pygrub/src/pygrub, read_config). */
const CANDIDATES: ReadonlyArray<readonly [path: string, reader: Reader]> = [
  ['/boot/grub/grub.cfg', runGrub2],
  ['/grub/grub.cfg', runGrub2],
  ['/boot/grub2/grub.cfg', runGrub2],
  ['/grub2/grub.cfg', runGrub2],
  ['/boot/isolinux/isolinux.cfg', parseSyslinux],
  ['/boot/extlinux/extlinux.conf', parseSyslinux],
  ['/boot/extlinux.conf', parseSyslinux],
  ['/extlinux/extlinux.conf', parseSyslinux],
  ['/extlinux.conf', parseSyslinux],
  ['/boot/syslinux/syslinux.cfg', parseSyslinux],
  ['/syslinux/syslinux.cfg', parseSyslinux],
  ['/boot/grub/menu.lst', parseGrubLegacy],
  ['/boot/grub/grub.conf', parseGrubLegacy],
  ['/grub/menu.lst', parseGrubLegacy],
  ['/grub/grub.conf', parseGrubLegacy],
];

/** Partitions marked for booting first, as pygrub has it. */
export function inBootOrder(volumes: readonly Volume[]): Volume[] {
  const isActive = (volume: Volume) => volume.partition?.active ?? false;
  return [...volumes.filter(isActive), ...volumes.filter((volume) => !isActive(volume))];
}

/**
 * The first configuration that has a kernel to boot.
 * @throws XennerError (rejection) EBOOT_NO_CONFIG, with what was wrong where there was something
 */
export async function readBootConfig(disk: GuestDisk): Promise<BootConfig> {
  const problems: string[] = [...disk.notes];
  for (const volume of inBootOrder(disk.volumes)) {
    if (volume.problem !== undefined) problems.push(`${volume.name}: ${volume.problem}`);
    if (volume.files === undefined) continue;
    const view = bootDisk(disk, volume);
    for (const [path, reader] of CANDIDATES) {
      try {
        const text = await view.readText({ volume: volume.name, path });
        if (text === undefined) continue;
        const config = await reader(text, path, view);
        if (config.entries.some(({ kernel }) => kernel !== undefined)) return { ...config, notes: problems };
        problems.push(`(${volume.name})${path} has no kernel to boot`);
      } catch (error) {
        if (!(error instanceof XennerError)) throw error;
        problems.push(`(${volume.name})${path}: ${error.message}`);
      }
    }
  }
  throw new XennerError(
    'EBOOT_NO_CONFIG',
    ['the disk has no boot loader configuration with a kernel', ...problems].join('; '),
    'name a kernel',
  );
}
