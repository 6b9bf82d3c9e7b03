/** Opens an image and what lies below it. */
import { dirname, resolve } from 'node:path';
import { XennerError } from '../../base/errors.js';
import { MAX_BACKING_CHAIN } from '../../base/limits.js';
import type { DiskImage } from './disk-image.js';
import { formatNamed, HEAD_BYTES, type ImageFormat, type OpenContext, probe } from './formats.js';
import { damaged, unsupported } from './image-errors.js';
import type { LockMode } from './image-lock.js';
import { type CacheMode, identityOf, StorageFile } from './storage-file.js';

export interface OpenImageOptions {
  /**
   * By default what the file looks like. An image that a guest writes to should be told: of a raw one the guest decides what it
   * looks like.
   */
  readonly format?: string | undefined;
  readonly readOnly?: boolean | undefined;
  readonly cache?: CacheMode | undefined;
  readonly lock?: LockMode | undefined;
  /** Of the images below it. */
  readonly backingLock?: LockMode | undefined;
  /** Of an encrypted image, and of encrypted ones below it. */
  readonly password?: string | Uint8Array | undefined;
  /** An internal snapshot, by id or name; for reading only. */
  readonly snapshot?: string | undefined;
  /** Whether a file may be used that the image names. By default any: as QEMU, we believe an image that is opened. */
  readonly mayOpen?: ((path: string) => boolean) | undefined;
}

/** What the layers of one image have in common. */
interface Chain {
  readonly options: OpenImageOptions;
  readonly password?: Uint8Array | undefined;
  /** Files that are open already, by identity. */
  readonly files: Set<string>;
}

/** @throws XennerError ELOCKED, EIMAGE_DAMAGED, EIMAGE_UNSUPPORTED, EIMAGE_FORMAT, EIMAGE_PASSWORD, EBACKING; system errors */
export async function openImage(path: string, options: OpenImageOptions = {}): Promise<DiskImage> {
  const { password, format, readOnly = false, lock, snapshot } = options;
  if (snapshot !== undefined && !readOnly)
    throw new XennerError('EROFS', `snapshot ${JSON.stringify(snapshot)} of ${path} can only be read`);
  const secret = typeof password === 'string' ? Buffer.from(password, 'utf8') : password;
  return openLayer(
    path,
    { format, readOnly, lock, snapshot },
    { options, password: secret, files: new Set() },
  );
}

interface LayerOptions {
  readonly format: string | undefined;
  readonly readOnly: boolean;
  readonly lock?: LockMode | undefined;
  readonly snapshot?: string | undefined;
}

async function openLayer(path: string, options: LayerOptions, chain: Chain): Promise<DiskImage> {
  const file = await openFile(path, options, chain);
  try {
    const head = new Uint8Array(HEAD_BYTES);
    const count = await file.read(0, [head]);
    const format =
      options.format === undefined ? probe(head.subarray(0, count)) : formatNamed(options.format);
    return await format.open(file, contextOf(file, format, options, chain));
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openFile(path: string, options: LayerOptions, chain: Chain): Promise<StorageFile> {
  // Before the lock, which would blame somebody who holds the image: ourselves.
  const identity = await identityOf(path);
  if (chain.files.has(identity)) throw new XennerError('EBACKING', `${path} is a backing file of itself`);
  if (chain.files.size > MAX_BACKING_CHAIN)
    throw new XennerError('EBACKING', `more than ${MAX_BACKING_CHAIN} images are below one another`);
  chain.files.add(identity);
  const { cache, lock } = chain.options;
  const { readOnly } = options;
  const inherited = lock === 'none' || lock === 'shared-read' ? lock : undefined;
  return StorageFile.open(path, {
    readOnly,
    ...(cache !== undefined && { cache }),
    lock: options.lock ?? inherited ?? (readOnly ? 'read' : 'write'),
  });
}

function contextOf(file: StorageFile, format: ImageFormat, options: LayerOptions, chain: Chain): OpenContext {
  const { path } = file;
  const told = options.format !== undefined;
  // The first image is what the user gave us. One below it that nobody vouches for may have been written by a guest.
  const isTrusted = told || chain.files.size === 1;
  const pathOf = (name: string) => {
    if (!isTrusted)
      throw new XennerError(
        'EIMAGE_FORMAT',
        `${path} looks like ${format.name} and names ${JSON.stringify(name)}, but nobody said that it is`,
        'write the format into the image above it: `qemu-img rebase -u -F`',
      );
    return namedPath(path, name, chain);
  };
  return {
    told,
    password: chain.password,
    snapshot: options.snapshot,
    openBacking: async (name, backingFormat) => {
      const lock = chain.options.backingLock;
      return openLayer(pathOf(name), { format: backingFormat, readOnly: true, lock }, chain);
    },
    openData: async (name) => {
      if (name === undefined) throw unsupported(path, 'does not say which file has its data');
      return openFile(pathOf(name), { ...options, format: 'raw' }, chain);
    },
  };
}

/** A name that stands in an image: a path, relative to the image. QEMU knows `protocol:` before it. */
function namedPath(image: string, name: string, chain: Chain): string {
  const [, protocol, rest = ''] = /^([^:/]*):(.*)$/s.exec(name) ?? [undefined, 'file', name];
  if (protocol !== 'file') throw unsupported(image, `is above ${JSON.stringify(name)}, which is no file`);
  if (rest === '' || rest.includes('\0')) throw damaged(image, `${JSON.stringify(name)} is no file's name`);
  const path = resolve(dirname(image), rest);
  if (chain.options.mayOpen?.(path) === false)
    throw new XennerError('EBACKING', `${image} names ${path}, which it may not use`);
  return path;
}
