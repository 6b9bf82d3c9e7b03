/**
 * What an image's first bytes say of it, without opening it: a pool has thousands. Formats that we cannot use are told apart from
 * raw ones all the same (libvirt: storage_file_probe.c). Nothing is believed but what stands there: whatever the numbers are.
 */

import { u64At, viewOf } from '../qcow2/bytes.js';
import { type Extensions, parseExtensions } from '../qcow2/extensions.js';
import { COMPATIBLE, INCOMPATIBLE, V3_HEADER_BYTES } from '../qcow2/format.js';

/** So much has what tells an ISO image. */
export const FACTS_BYTES = 33_280;

export interface ImageFacts {
  readonly format: string;
  /** Undefined: as large as the file. */
  readonly capacity?: number | undefined;
  readonly compat?: string | undefined;
  readonly features?: readonly string[] | undefined;
  readonly clusterBytes?: number | undefined;
  readonly encryption?: string | undefined;
  /** As it stands in the image; the format if that stands there, too. */
  readonly backing?: { readonly name: string; readonly format: string | undefined } | undefined;
}

interface Magic {
  readonly format: string;
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly capacity?: (view: DataView) => number;
}

const u64le = (view: DataView, at: number) => Number(view.getBigUint64(at, true));
const magic = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'));

const MAGICS: readonly Magic[] = [
  { format: 'vmdk', at: 0, bytes: magic('KDMV'), capacity: (view) => u64le(view, 12) * 512 },
  { format: 'qed', at: 0, bytes: magic('QED\0'), capacity: (view) => u64le(view, 48) },
  { format: 'vdi', at: 64, bytes: magic('\x7f\x10\xda\xbe'), capacity: (view) => u64le(view, 368) },
  { format: 'vpc', at: 0, bytes: magic('conectix'), capacity: (view) => Number(view.getBigUint64(40)) },
  { format: 'iso', at: 32_769, bytes: magic('CD001') },
];
/** Of all its versions. */
const QCOW: Magic = { format: 'qcow2', at: 0, bytes: magic('QFI\xfb') };
/** Behind everything that is read of those above. */
const MIN_HEAD_BYTES = 512;
const RAW: ImageFacts = { format: 'raw' };

/** Nothing is made for a file that is nothing: most of a pool's. */
function has(head: Uint8Array, { at, bytes }: Magic): boolean {
  for (let i = 0; i < bytes.length; i++) if (head[at + i] !== bytes[i]) return false;
  return true;
}

/** @param head the file's first FACTS_BYTES, or less */
export function imageFacts(head: Uint8Array): ImageFacts {
  if (has(head, QCOW)) return head.length < MIN_HEAD_BYTES ? { format: 'qcow2' } : qcowFacts(head);
  if (head.length < MIN_HEAD_BYTES) return RAW;
  for (const each of MAGICS)
    if (has(head, each)) return { format: each.format, capacity: each.capacity?.(viewOf(head)) };
  return RAW;
}

function qcowFacts(head: Uint8Array): ImageFacts {
  const view = viewOf(head);
  const version = view.getUint32(4);
  const capacity = Number(view.getBigUint64(24));
  const backing = backingName(head, version);
  if (version < 2)
    return {
      format: 'qcow',
      capacity,
      backing: backing === undefined ? undefined : { name: backing, format: undefined },
    };
  const bits = view.getUint32(20);
  const extensions = extensionsOf(head, version);
  const facts = {
    format: 'qcow2',
    capacity,
    clusterBytes: bits < 9 || bits > 21 ? undefined : 2 ** bits,
    encryption: [undefined, 'qcow', 'luks'][view.getUint32(32)],
    backing: backing === undefined ? undefined : { name: backing, format: extensions?.backingFormat },
  };
  if (version < 3) return facts;
  const features = [
    ...((view.getBigUint64(80) & COMPATIBLE.lazyRefcounts) === 0n ? [] : ['lazy_refcounts']),
    ...((view.getBigUint64(72) & INCOMPATIBLE.extendedL2) === 0n ? [] : ['extended_l2']),
  ];
  return { ...facts, compat: '1.1', features };
}

/** Of both versions of the format at the same place. */
function backingName(head: Uint8Array, version: number): string | undefined {
  const view = viewOf(head);
  const [offset, length] = [u64At(view, 8), view.getUint32(16)];
  const most = version < 2 ? 1023 : head.length;
  if (offset === 0 || length === 0 || length > most || offset + length > head.length) return undefined;
  return Buffer.from(head.subarray(offset, offset + length)).toString('utf8');
}

function extensionsOf(head: Uint8Array, version: number): Extensions | undefined {
  const at = version < 3 ? 72 : Math.max(viewOf(head).getUint32(100), V3_HEADER_BYTES);
  try {
    return parseExtensions('', head.subarray(at));
  } catch {
    // What `qemu-img check` is for: here it is a volume of whatever format it says it is.
    return undefined;
  }
}
