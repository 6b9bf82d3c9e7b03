/** What an image says that it lies above: a name in its first cluster, and a header extension with the format. */
import { XennerError } from '../../../base/errors.js';
import type { ByteStore } from '../storage-file.js';
import { roundUp, setU64, viewOf } from './bytes.js';
import { EXTENSION, MAX_BACKING_NAME_BYTES, V2_HEADER_BYTES } from './format.js';
import type { Header } from './header.js';

export interface BackingName {
  /** A path relative to the image. */
  readonly path: string;
  readonly format: string;
}

const NAME_OFFSET_AT = 8;
const NAME_BYTES_AT = 16;
const HEADER_BYTES_AT = 100;
const SECTOR_BYTES = 512;

/**
 * Header, extensions and name are written at once. It is a page, mostly: then whoever reads it finds the old name or the new one, even if
 * this process is killed.
 */
export async function writeBacking(
  file: ByteStore,
  header: Header,
  backing: BackingName | undefined,
): Promise<void> {
  const cluster = new Uint8Array(header.clusterBytes);
  await file.read(0, [cluster]);
  const view = viewOf(cluster);
  const headerBytes = header.version === 2 ? V2_HEADER_BYTES : view.getUint32(HEADER_BYTES_AT);
  const oldName = Number(view.getBigUint64(NAME_OFFSET_AT));
  const oldEnd = oldName + view.getUint32(NAME_BYTES_AT);
  const extensions = extensionsOf(
    cluster.subarray(headerBytes, oldName > headerBytes ? oldName : cluster.length),
  );
  const others = extensions.filter(({ type }) => type !== EXTENSION.backingFormat);
  const all =
    backing === undefined
      ? others
      : [{ type: EXTENSION.backingFormat, data: utf8(backing.format) }, ...others];
  const name = utf8(backing?.path ?? '');
  const written = [...all, { type: EXTENSION.end, data: new Uint8Array() }].map(({ type, data }) =>
    extension(type, data),
  );
  const body = Buffer.concat([...written, name]);
  if (name.length > MAX_BACKING_NAME_BYTES || headerBytes + body.length > cluster.length)
    throw new XennerError('EIMAGE_OPTIONS', `${file.path} has no room for the name of its backing file`);
  const end = headerBytes + body.length;
  cluster.fill(0, headerBytes, Math.max(end, oldEnd));
  cluster.set(body, headerBytes);
  setU64(view, NAME_OFFSET_AT, name.length === 0 ? 0 : end - name.length);
  view.setUint32(NAME_BYTES_AT, name.length);
  await file.write(0, [cluster.subarray(0, roundUp(Math.max(end, oldEnd), SECTOR_BYTES))]);
  await file.sync();
}

const utf8 = (text: string): Uint8Array => Buffer.from(text, 'utf8');

interface Extension {
  readonly type: number;
  readonly data: Uint8Array;
}

/** The header was parsed before, so that they are known to be whole. */
function extensionsOf(area: Uint8Array): readonly Extension[] {
  const view = viewOf(area);
  const found: Extension[] = [];
  for (let at = 0; at + 8 <= area.length; ) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === EXTENSION.end) break;
    found.push({ type, data: area.slice(at + 8, at + 8 + length) });
    at += 8 + roundUp(length, 8);
  }
  return found;
}

function extension(type: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + roundUp(data.length, 8));
  viewOf(bytes).setUint32(0, type);
  viewOf(bytes).setUint32(4, data.length);
  bytes.set(data, 8);
  return bytes;
}
