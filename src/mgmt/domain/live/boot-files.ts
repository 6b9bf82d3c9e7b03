/** What a domain boots: files that its definition names, or those that its first disk's boot loader does, as pygrub finds them. */
import { rm } from 'node:fs/promises';
import { XennerError } from '../../../base/errors.js';
import type { MenuChoice } from '../../guestfs/boot.js';
import type { BootConfig } from '../../guestfs/loader/boot-config.js';
import type { Boot } from '../definition.js';
import type { OpenDisk } from '../disks.js';

export interface BootFiles {
  readonly kernel: string;
  readonly ramdisk?: string;
  readonly cmdline: string;
  /** What was copied for this start goes. Idempotent. */
  remove(): Promise<void>;
}

/**
 * @param disks the guest's, opened
 * @param folder for what is taken out of a disk
 * @param choose asks the user, where there is one, for an entry of the boot loader's menu; undefined: the menu's default
 * @throws XennerError (rejection) EBOOT_*, EGUEST_*
 */
export async function bootFiles(
  boot: Boot,
  disks: readonly OpenDisk[],
  folder: string,
  choose: (read: () => Promise<BootConfig>) => Promise<MenuChoice | undefined>,
): Promise<BootFiles> {
  if (boot.by !== 'pygrub') {
    const { kernel, ramdisk, cmdline } = boot;
    return { kernel, cmdline, ...(ramdisk !== undefined && { ramdisk }), remove: async () => {} };
  }
  const disk = disks.find(({ definition }) => !definition.cdrom) ?? disks[0];
  if (disk === undefined)
    throw new XennerError('EBOOT_NO_DISK', 'there is no disk to boot from', 'name a kernel, or a disk');
  // Reading file systems is for domains that boot so.
  const [{ openGuestDisk }, { extractBoot, selectBoot }, { readBootConfig }, { parsePygrubArgs }] =
    await Promise.all([
      import('../../guestfs/guest-disk.js'),
      import('../../guestfs/boot.js'),
      import('../../guestfs/loader/find-config.js'),
      import('../../guestfs/pygrub-options.js'),
    ]);
  const said = parsePygrubArgs(boot.args);
  const options = {
    ...said,
    ...(boot.kernel !== undefined && { kernel: boot.kernel }),
    ...(boot.ramdisk !== undefined && { ramdisk: boot.ramdisk }),
    ...(said.args === undefined && boot.cmdline !== '' && { args: boot.cmdline }),
  };
  const guestDisk = await openGuestDisk(disk.image, options.offset);
  const asks = options.kernel === undefined && !options.isQuiet;
  const choice = asks ? await choose(() => readBootConfig(guestDisk)) : undefined;
  const selection = await selectBoot(guestDisk, options, choice);
  const { directory, kernel, ramdisk, cmdline } = await extractBoot(selection, folder);
  return {
    kernel,
    cmdline,
    ...(ramdisk !== undefined && { ramdisk }),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
