/** An image's file, open without what lies below it: enough to look at tables, and to change them. */
import { formatNamed, HEAD_BYTES, probe } from '../formats.js';
import type { LockMode } from '../image-lock.js';
import { StorageFile } from '../storage-file.js';

export interface ImageFileOptions {
  /** By default what the file looks like. */
  readonly format?: string | undefined;
  /** Somebody may be writing it: what is read may be torn. */
  readonly forceShare?: boolean | undefined;
}

/** QEMU's name of a format. */
export type ToolFormat = 'raw' | 'qcow2' | 'vpc';

export interface ImageFile {
  readonly file: StorageFile;
  readonly format: ToolFormat;
}

/** @throws XennerError EIMAGE_FORMAT */
export function toolFormat(name: string): ToolFormat {
  return nameOf(formatNamed(name).name);
}

const nameOf = (name: string): ToolFormat => (name === 'vhd' ? 'vpc' : (name as ToolFormat));

/** Calls `use` with the file, which is closed afterwards. @throws XennerError ELOCKED, EIMAGE_FORMAT; system errors */
export async function withImageFile<T>(
  path: string,
  options: ImageFileOptions & { readonly readOnly: boolean },
  use: (image: ImageFile) => Promise<T>,
): Promise<T> {
  const told = options.format === undefined ? undefined : formatNamed(options.format);
  const lock: LockMode | undefined = options.forceShare ? 'shared-read' : undefined;
  const file = await StorageFile.open(path, { readOnly: options.readOnly, ...(lock && { lock }) });
  try {
    const head = new Uint8Array(HEAD_BYTES);
    const count = await file.read(0, [head]);
    const { name } = told ?? probe(head.subarray(0, count));
    return await use({ file, format: nameOf(name) });
  } finally {
    await file.close();
  }
}
