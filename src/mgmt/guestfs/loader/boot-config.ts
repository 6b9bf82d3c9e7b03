/** What a boot loader's configuration comes to, whichever loader it is. */

/** A file as a configuration names it. */
export interface BootFile {
  /** The volume, by its name in GuestDisk; undefined: where the configuration is. */
  readonly volume: string | undefined;
  readonly path: string;
}

export interface BootEntry {
  readonly title: string;
  /** Titles of the submenus that it is in, outermost first. */
  readonly menus: readonly string[];
  /** Undefined where it boots no kernel: another loader, a memory test. */
  readonly kernel?: BootFile;
  /** Several follow one another in memory, as one. */
  readonly ramdisks: readonly BootFile[];
  /** The kernel's command line. */
  readonly args: string;
}

export interface BootConfig {
  readonly loader: 'grub' | 'grub2' | 'extlinux';
  /** Of the configuration file, and the volume that has it. */
  readonly path: string;
  readonly volume: string;
  /** In the order of the menu, submenus spread out. */
  readonly entries: readonly BootEntry[];
  /** Indices into `entries`, most wanted first: the default, and what to take where that cannot be booted. */
  readonly preferred: readonly number[];
  /** How long to wait for the user; undefined: for ever, 0: not at all. */
  readonly timeoutS: number | undefined;
  /** What a user should know. */
  readonly notes: readonly string[];
}

/** What parsers and interpreters have of the disk. */
export interface BootDisk {
  /** The volume of the configuration. */
  readonly volume: string;
  /** A name as GRUB writes it, such as `hd0,1`, `hd0,msdos1` or `lvm/vg-root`; the number of the disk does not matter. */
  findDevice(name: string): string | undefined;
  /** `search`: the first volume with that UUID, label or file. */
  search(by: 'uuid' | 'label' | 'file', what: string): Promise<string | undefined>;
  /** A text file, or undefined where there is none. Rejects where it is too long or damaged. */
  readText(file: BootFile): Promise<string | undefined>;
  kindOf(file: BootFile): Promise<'file' | 'directory' | undefined>;
  sizeOf(file: BootFile): Promise<number>;
  list(file: BootFile): Promise<string[]>;
}

/** One word of decimal digits within bounds, or undefined. */
export function parseCount(text: string, max: number): number | undefined {
  return /^\d{1,9}$/.test(text) && Number(text) <= max ? Number(text) : undefined;
}
