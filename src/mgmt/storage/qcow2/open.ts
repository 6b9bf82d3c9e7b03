/** Opens an image: header, tables, what it names, key; and what it takes to write to it. */
import { XennerError } from '../../../base/errors.js';
import type { DiskImage } from '../disk-image.js';
import type { OpenContext } from '../formats.js';
import { damaged } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { ClusterMap } from './cluster-map.js';
import { CompressedClusters } from './compressed.js';
import { type DiskCipher, legacyAes } from './disk-cipher.js';
import { AUTOCLEAR, CRYPT, INCOMPATIBLE, V2_HEADER_BYTES } from './format.js';
import { firstClusterBytes, type Header, OFFSET_OF, parseHeader } from './header.js';
import { Qcow2Image } from './image.js';
import { openLuks } from './luks.js';
import { closeSources, type Sources } from './reader.js';
import { rebuildRefcounts } from './rebuild.js';
import { checkSnapshot, findSnapshot, readSnapshots, type Snapshot } from './snapshots.js';
import { openWriting } from './writing.js';

export async function openQcow2(file: ByteStore, context: OpenContext): Promise<Qcow2Image> {
  let header = await readHeader(file);
  const snapshots = await readSnapshots(file, header);
  if (!file.readOnly) {
    if ((header.incompatible & INCOMPATIBLE.corrupt) !== 0n)
      throw damaged(file.path, 'it is marked corrupt, and can only be read');
    if ((header.incompatible & INCOMPATIBLE.dirty) !== 0n) {
      await rebuildRefcounts(file, header, snapshots);
      header = await readHeader(file);
    }
  }
  const wanted = context.snapshot;
  const snapshot = wanted === undefined ? undefined : findSnapshot(file.path, snapshots.snapshots, wanted);
  if (snapshot) checkSnapshot(file.path, header, snapshot, file.sizeBytes);
  const sources = await openSources(file, header, snapshot ?? header, context);
  try {
    const writing = file.readOnly ? undefined : await openWriting(file, header, sources, snapshots);
    if (writing) await clearUnknownFeatures(file, header);
    const { sizeBytes } = snapshot ?? header;
    return new Qcow2Image(file, header, snapshots.snapshots, sizeBytes, sources, writing);
  } catch (error) {
    await closeSources(file, sources);
    throw error;
  }
}

export async function readHeader(file: ByteStore): Promise<Header> {
  const head = new Uint8Array(V2_HEADER_BYTES);
  const count = await file.read(0, [head]);
  const cluster = new Uint8Array(firstClusterBytes(file.path, head.subarray(0, count)));
  await file.read(0, [cluster]);
  return parseHeader(file.path, cluster, file.sizeBytes);
}

async function openSources(
  file: ByteStore,
  header: Header,
  shown: Header | Snapshot,
  context: OpenContext,
): Promise<Sources> {
  const l1 = new Uint8Array(shown.l1Entries * 8);
  await file.read(shown.l1Offset, [l1]);
  const cipher = await cipherOf(file, header, context);
  const hasDataFile = (header.incompatible & INCOMPATIBLE.externalData) !== 0n;
  const map = new ClusterMap(file, header, shown.l1Offset, l1, hasDataFile);
  const compressed = new CompressedClusters(file, header.clusterBytes, header.compression);
  const data = hasDataFile ? await context.openData(header.extensions.dataFile) : file;
  let backing: DiskImage | undefined;
  try {
    if (header.backingFile !== undefined)
      backing = await context.openBacking(header.backingFile, header.extensions.backingFormat);
  } catch (error) {
    await closeSources(file, { data, backing: undefined });
    throw error;
  }
  return { map, compressed, cipher, data, backing };
}

async function cipherOf(
  file: ByteStore,
  header: Header,
  context: OpenContext,
): Promise<DiskCipher | undefined> {
  if (header.cryptMethod === CRYPT.none) return undefined;
  const { password } = context;
  if (password === undefined)
    throw new XennerError('EIMAGE_PASSWORD', `${file.path} is encrypted`, 'give its password');
  const area = header.extensions.encryption;
  return area === undefined ? legacyAes(password) : openLuks(file, area, password);
}

/** What they promise of the image is no longer so once somebody writes who does not know them. */
async function clearUnknownFeatures(file: ByteStore, header: Header): Promise<void> {
  const known = header.autoclear & (AUTOCLEAR.bitmaps | AUTOCLEAR.rawExternalData);
  if (known === header.autoclear) return;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(known);
  await file.write(OFFSET_OF.autoclear, [bytes]);
  await file.sync();
}
