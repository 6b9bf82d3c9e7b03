/** Opens an image: header, tables, what it names, key. */

import { XennerError } from '../../../base/errors.js';
import type { BlockImage } from '../../../xenner/backend/block/block-image.js';
import type { OpenContext } from '../formats.js';
import { unsupported } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { ClusterMap } from './cluster-map.js';
import { CompressedClusters } from './compressed.js';
import { type DiskCipher, legacyAes } from './disk-cipher.js';
import { CRYPT, INCOMPATIBLE, V2_HEADER_BYTES } from './format.js';
import { firstClusterBytes, type Header, parseHeader } from './header.js';
import { Qcow2Image } from './image.js';
import { openLuks } from './luks.js';
import { checkSnapshot, findSnapshot, readSnapshots } from './snapshots.js';

export async function openQcow2(file: ByteStore, context: OpenContext): Promise<Qcow2Image> {
  const header = await readHeader(file);
  if (!file.readOnly) throw unsupported(file.path, 'is qcow2, which can only be read so far');
  const { snapshots } = await readSnapshots(file, header);
  const wanted = context.snapshot;
  const snapshot = wanted === undefined ? undefined : findSnapshot(file.path, snapshots, wanted);
  if (snapshot) checkSnapshot(file.path, header, snapshot, file.sizeBytes);
  const shown = snapshot ?? header;
  const l1 = new Uint8Array(shown.l1Entries * 8);
  await file.read(shown.l1Offset, [l1]);
  const cipher = await cipherOf(file, header, context);
  const hasDataFile = (header.incompatible & INCOMPATIBLE.externalData) !== 0n;
  const opened: { data?: ByteStore; backing?: BlockImage } = {};
  try {
    if (hasDataFile) opened.data = await context.openData(header.extensions.dataFile);
    if (header.backingFile !== undefined)
      opened.backing = await context.openBacking(header.backingFile, header.extensions.backingFormat);
  } catch (error) {
    await opened.data?.close();
    throw error;
  }
  const map = new ClusterMap(file, header, shown.l1Offset, l1, hasDataFile);
  const compressed = new CompressedClusters(file, header.clusterBytes, header.compression);
  const sources = { map, compressed, cipher, data: opened.data ?? file, backing: opened.backing };
  return new Qcow2Image(file, header, snapshots, shown.sizeBytes, sources);
}

export async function readHeader(file: ByteStore): Promise<Header> {
  const head = new Uint8Array(V2_HEADER_BYTES);
  const count = await file.read(0, [head]);
  const cluster = new Uint8Array(firstClusterBytes(file.path, head.subarray(0, count)));
  await file.read(0, [cluster]);
  return parseHeader(file.path, cluster, file.sizeBytes);
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
