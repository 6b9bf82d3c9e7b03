/** Names of virtual disks and their numbers, node `virtual-device`: docs/misc/vbd-interface.txt, as libxl reads them. */

interface Series {
  readonly prefix: 'xvd' | 'sd' | 'hd';
  readonly disks: number;
  readonly partitions: number;
  number(disk: number, partition: number): number;
}

const XVD_MAJOR = 202;
const SD_MAJOR = 8;
const IDE0_MAJOR = 3;
const IDE1_MAJOR = 22;
/** For disks and partitions that do not fit into eight bits. */
const EXTENDED = 1 << 28;

const SERIES: readonly Series[] = [
  {
    prefix: 'xvd',
    disks: 1 << 20,
    partitions: 256,
    number: (disk, partition) =>
      disk < 16 && partition < 16
        ? (XVD_MAJOR << 8) | (disk << 4) | partition
        : EXTENDED | (disk << 8) | partition,
  },
  {
    prefix: 'sd',
    disks: 16,
    partitions: 16,
    number: (disk, partition) => (SD_MAJOR << 8) | (disk << 4) | partition,
  },
  {
    prefix: 'hd',
    disks: 4,
    partitions: 64,
    number: (disk, partition) => ((disk < 2 ? IDE0_MAJOR : IDE1_MAJOR) << 8) | ((disk & 1) << 6) | partition,
  },
];

/** `a` is 0, `z` 25, `aa` 26. */
function diskIndex(letters: string): number {
  let index = 0;
  for (const letter of letters) index = index * 26 + letter.charCodeAt(0) - 96;
  return index - 1;
}

function diskLetters(index: number): string {
  const rest = Math.floor(index / 26);
  return (rest > 0 ? diskLetters(rest - 1) : '') + String.fromCharCode(97 + (index % 26));
}

/** @param name `xvda`, `sdb1`, `hdc`, ... @returns undefined: there is no such device */
export function virtualDeviceNumber(name: string): number | undefined {
  const [, prefix, letters = '', digits] = /^(xvd|sd|hd)([a-z]{1,5})([1-9]\d{0,2})?$/.exec(name) ?? [];
  const series = SERIES.find((each) => each.prefix === prefix);
  const disk = diskIndex(letters);
  const partition = Number(digits ?? 0);
  if (series === undefined || disk >= series.disks || partition >= series.partitions) return undefined;
  return series.number(disk, partition);
}

function nameOf(prefix: Series['prefix'], disk: number, partition: number): string {
  return `${prefix}${diskLetters(disk)}${partition === 0 ? '' : partition}`;
}

/** @returns undefined: no name has this number */
export function virtualDeviceName(number: number): string | undefined {
  if (!Number.isInteger(number) || number < 0 || number >= EXTENDED * 2) return undefined;
  const low = number & 0xff;
  if ((number & EXTENDED) !== 0) {
    const disk = (number & ~EXTENDED) >>> 8;
    const isShort = disk < 16 && low < 16;
    return isShort ? undefined : nameOf('xvd', disk, low);
  }
  switch (number >>> 8) {
    case XVD_MAJOR:
      return nameOf('xvd', low >>> 4, low & 15);
    case SD_MAJOR:
      return nameOf('sd', low >>> 4, low & 15);
    case IDE0_MAJOR:
    case IDE1_MAJOR:
      if (low >= 128) return undefined;
      return nameOf('hd', (low >>> 6) + (number >>> 8 === IDE1_MAJOR ? 2 : 0), low & 63);
    default:
      return undefined;
  }
}
