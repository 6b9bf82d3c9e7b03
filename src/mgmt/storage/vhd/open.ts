/** Opens a VHD, and what a differencing one is above. */
import type { DiskImage } from '../disk-image.js';
import type { OpenContext } from '../formats.js';
import { damaged, unsupported } from '../image-errors.js';
import { RawImage } from '../raw-image.js';
import type { ByteStore } from '../storage-file.js';
import { BlockTable } from './block-table.js';
import { FilePart } from './file-part.js';
import {
  FOOTER_BYTES,
  type Footer,
  HEADER_BYTES,
  type Header,
  parseFooter,
  parseHeader,
  SECTOR_BYTES,
} from './format.js';
import { VhdImage } from './vhd-image.js';

const MAX_LOCATOR_BYTES = 4096;

/** A disk byte for byte, with a footer behind it. */
export class FixedVhdImage extends RawImage {
  constructor(
    file: ByteStore,
    readonly footer: Footer,
  ) {
    super(new FilePart(file, footer.sizeBytes));
  }
}

/** @throws XennerError EIMAGE_DAMAGED, EIMAGE_UNSUPPORTED; what is below may have errors of its own */
export async function openVhd(file: ByteStore, context: OpenContext): Promise<DiskImage> {
  if (context.snapshot !== undefined) throw unsupported(file.path, 'is a VHD: it has no snapshots');
  const footer = await readFooter(file);
  if (footer.type === 'fixed') {
    if (footer.sizeBytes > file.sizeBytes) throw damaged(file.path, 'it is shorter than its disk');
    return new FixedVhdImage(file, footer);
  }
  const header = await readHeader(file, footer);
  const table = await BlockTable.open(file, footer, header);
  const parent = footer.type === 'differencing' ? await openParent(file, header, context) : undefined;
  return new VhdImage(file, footer, table, parent);
}

/** What it says of itself; its parent's names, if it has one, are as parentNames() has them. */
export async function readVhdFacts(
  file: ByteStore,
): Promise<{ readonly footer: Footer; readonly header?: Header; readonly parents: readonly string[] }> {
  const footer = await readFooter(file);
  if (footer.type === 'fixed') return { footer, parents: [] };
  const header = await readHeader(file, footer);
  return { footer, header, parents: footer.type === 'differencing' ? await parentNames(file, header) : [] };
}

async function readHeader(file: ByteStore, footer: Footer): Promise<Header> {
  const head = Buffer.alloc(HEADER_BYTES);
  if (!Number.isSafeInteger(footer.headerOffset)) throw damaged(file.path, 'its header is nowhere');
  await file.read(footer.headerOffset, [head]);
  return parseHeader(file.path, head, footer.sizeBytes);
}

/** The copy in front, of those that have it; it is there whatever a crash did to the end. */
async function readFooter(file: ByteStore): Promise<Footer> {
  for (const offset of [0, file.sizeBytes - FOOTER_BYTES]) {
    if (offset < 0) continue;
    const bytes = Buffer.alloc(FOOTER_BYTES);
    await file.read(offset, [bytes]);
    const footer = parseFooter(file.path, bytes);
    if (footer !== undefined) return footer;
  }
  throw damaged(file.path, 'it has no footer of a VHD');
}

async function openParent(file: ByteStore, header: Header, context: OpenContext): Promise<DiskImage> {
  const names = await parentNames(file, header);
  if (names.length === 0) throw damaged(file.path, 'it does not say what it is above');
  let missing: unknown;
  for (const name of names) {
    try {
      return await checkedParent(file, header, await context.openBacking(name, 'vhd'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      missing = error;
    }
  }
  throw missing;
}

async function checkedParent(file: ByteStore, header: Header, parent: DiskImage): Promise<DiskImage> {
  const isVhd = parent instanceof VhdImage || parent instanceof FixedVhdImage;
  if (isVhd && parent.footer.uuid === header.parentUuid) return parent;
  await parent.close();
  throw damaged(file.path, 'what it is above is not the image that it was made from');
}

/** As paths of this system, the likeliest first: XenServer's URL, Windows' relative path, the name beside the image. */
async function parentNames(file: ByteStore, { locators, parentName }: Header): Promise<readonly string[]> {
  const names: string[] = [];
  for (const platform of ['MacX', 'W2ru', 'W2ku']) {
    for (const { offset, length } of locators.filter((each) => each.platform === platform)) {
      if (
        length === 0 ||
        length > MAX_LOCATOR_BYTES ||
        offset + length > file.sizeBytes ||
        offset % SECTOR_BYTES !== 0
      )
        continue;
      const bytes = Buffer.alloc(length);
      await file.read(offset, [bytes]);
      names.push(
        platform === 'MacX' ? bytes.toString('utf8').replace(/^file:\/\//, '') : bytes.toString('utf16le'),
      );
    }
  }
  names.push(parentName);
  const paths = names.map((name) => name.replace(/\0.*$/s, '').replaceAll('\\', '/'));
  // A drive's letter means nothing here: its file may have come along.
  return [
    ...new Set(
      paths.map((path) => (/^[A-Za-z]:/.test(path) ? path.replace(/^.*\//s, '') : path)).filter(Boolean),
    ),
  ];
}
