/** Header extensions: what a header says by name. */
import {
  MAX_FEATURE_NAMES,
  MAX_QCOW2_BITMAP_DIRECTORY_BYTES,
  MAX_QCOW2_BITMAPS,
} from '../../../base/limits.js';
import { damaged } from '../image-errors.js';
import { u64At, viewOf } from './bytes.js';
import { EXTENSION } from './format.js';

export interface BitmapsExtension {
  readonly count: number;
  readonly directoryBytes: number;
  readonly directoryOffset: number;
}

export interface Extensions {
  backingFormat?: string;
  dataFile?: string;
  encryption?: { readonly offset: number; readonly length: number };
  bitmaps?: BitmapsExtension;
  /** Names of incompatible features by bit, for complaints. */
  readonly featureNames: Map<number, string>;
}

const FEATURE_BYTES = 48;
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');

/** @param area from the header's end to where the backing file's name, or the first cluster ends */
export function parseExtensions(path: string, area: Uint8Array): Extensions {
  const view = viewOf(area);
  const found: Extensions = { featureNames: new Map() };
  for (let at = 0; at + 8 <= area.length; ) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === EXTENSION.end) break;
    if (length > area.length - at - 8) throw damaged(path, 'a header extension ends outside of the header');
    read(path, type, area.subarray(at + 8, at + 8 + length), found);
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return found;
}

function read(path: string, type: number, data: Uint8Array, into: Extensions): void {
  switch (type) {
    case EXTENSION.backingFormat:
      into.backingFormat = text(data);
      break;
    case EXTENSION.dataFile:
      into.dataFile = text(data);
      break;
    case EXTENSION.encryption:
      if (data.length !== 16) throw damaged(path, 'the encryption header extension has a wrong length');
      into.encryption = { offset: u64At(viewOf(data), 0), length: u64At(viewOf(data), 8) };
      break;
    case EXTENSION.bitmaps:
      into.bitmaps = bitmaps(path, data);
      break;
    case EXTENSION.featureNames:
      for (let at = 0; at + FEATURE_BYTES <= data.length; at += FEATURE_BYTES) {
        const isIncompatible = data[at] === 0;
        if (!isIncompatible || into.featureNames.size >= MAX_FEATURE_NAMES) continue;
        const name = text(data.subarray(at + 2, at + FEATURE_BYTES)).replace(/\0.*/s, '');
        into.featureNames.set(data[at + 1] ?? 0, name.replace(/[^ -~]/g, '?'));
      }
  }
}

function bitmaps(path: string, data: Uint8Array): BitmapsExtension {
  if (data.length !== 24) throw damaged(path, 'the bitmaps header extension has a wrong length');
  const view = viewOf(data);
  const extension = {
    count: view.getUint32(0),
    directoryBytes: u64At(view, 8),
    directoryOffset: u64At(view, 16),
  };
  if (extension.count > MAX_QCOW2_BITMAPS || extension.directoryBytes > MAX_QCOW2_BITMAP_DIRECTORY_BYTES)
    throw damaged(path, `${extension.count} bitmaps in ${extension.directoryBytes} bytes are too many`);
  return extension;
}
