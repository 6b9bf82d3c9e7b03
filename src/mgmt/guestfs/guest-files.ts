/** Files of a guest by their paths. Symbolic links are followed inside the guest's file system only. */
import {
  MAX_GUEST_DIRECTORY_ENTRIES,
  MAX_GUEST_DISK_READ_BYTES,
  MAX_GUEST_PATH_BYTES,
  MAX_GUEST_SYMLINKS,
} from '../../base/limits.js';
import type { ByteSource } from './byte-source.js';
import { noSuchFile, overLimit, wrongKind } from './errors.js';
import type { FileSystem, FsNode, NodeKind } from './file-system.js';

const READ_BYTES = 1024 * 1024;

export interface FileStat {
  readonly kind: NodeKind;
  readonly mode: number;
  readonly sizeBytes: number;
}

/** Paths are absolute, or are taken to be; all methods reject with an XennerError where there is no such file. */
export class GuestFiles {
  constructor(readonly fileSystem: FileSystem) {}

  async stat(path: string): Promise<FileStat> {
    const { kind, mode, content } = await this.resolve(path);
    return { kind, mode, sizeBytes: content.sizeBytes };
  }

  /** False as well where something on the way is no directory. */
  async exists(path: string): Promise<boolean> {
    try {
      await this.resolve(path);
      return true;
    } catch (error) {
      if (['EGUEST_NO_FILE', 'EGUEST_FILE_KIND'].includes((error as { code?: string }).code ?? ''))
        return false;
      throw error;
    }
  }

  async openFile(path: string): Promise<ByteSource> {
    const { kind, content } = await this.resolve(path);
    if (kind !== 'file') throw wrongKind(path, kind === 'directory' ? 'a directory' : 'not a regular file');
    return content;
  }

  /** @throws XennerError (rejection) EGUEST_LIMIT when it is longer than `maxBytes` */
  async readFile(path: string, maxBytes = MAX_GUEST_DISK_READ_BYTES): Promise<Buffer> {
    const content = await this.openFile(path);
    if (content.sizeBytes > maxBytes)
      throw overLimit(`${path} in the guest has ${content.sizeBytes} bytes, more than ${maxBytes}`);
    const pieces: Buffer[] = [];
    for await (const piece of chunks(content)) pieces.push(Buffer.from(piece));
    return Buffer.concat(pieces);
  }

  /** Names without `.` and `..`, in the order of the disk. */
  async readdir(path: string): Promise<string[]> {
    const directory = await this.resolve(path);
    if (directory.kind !== 'directory') throw wrongKind(path, 'no directory');
    const names: string[] = [];
    for await (const { name } of this.fileSystem.entries(directory)) {
      if (name !== '.' && name !== '..') names.push(name);
      if (names.length > MAX_GUEST_DIRECTORY_ENTRIES)
        throw overLimit(`${path} in the guest has too many files`);
    }
    return names;
  }

  async readlink(path: string): Promise<string> {
    const node = await this.resolve(path, false);
    if (node.kind !== 'symlink') throw wrongKind(path, 'no symbolic link');
    return target(node, path);
  }

  private async resolve(path: string, followLast = true): Promise<FsNode> {
    // The directories from the root down to where we are: `..` goes back by one, never above the root.
    const trail = [await this.fileSystem.node(this.fileSystem.root)];
    let rest = components(path);
    let links = 0;
    while (rest.length > 0) {
      const [name, ...after] = rest as [string, ...string[]];
      rest = after;
      if (name === '.') continue;
      if (name === '..') {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const node = await this.lookup(trail.at(-1)!, name, path);
      if (node.kind !== 'symlink' || (rest.length === 0 && !followLast)) {
        trail.push(node);
        continue;
      }
      if (++links > MAX_GUEST_SYMLINKS) throw wrongKind(path, 'behind too many symbolic links');
      const to = await target(node, path);
      if (to.startsWith('/')) trail.length = 1;
      rest = [...components(to), ...rest];
    }
    return trail.at(-1)!;
  }

  private async lookup(directory: FsNode, name: string, path: string): Promise<FsNode> {
    if (directory.kind !== 'directory') throw wrongKind(path, 'below something that is no directory');
    let entries = 0;
    for await (const entry of this.fileSystem.entries(directory)) {
      if (entry.name === name) return this.fileSystem.node(entry.id);
      if (++entries > MAX_GUEST_DIRECTORY_ENTRIES)
        throw overLimit(`a directory on the way to ${path} is too long`);
    }
    throw noSuchFile(path);
  }
}

/** A file's contents, a piece at a time; holes as zeros. */
export async function* chunks(content: ByteSource): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < content.sizeBytes; offset += READ_BYTES)
    yield await content.read(offset, Math.min(READ_BYTES, content.sizeBytes - offset));
}

function components(path: string): string[] {
  if (Buffer.byteLength(path) > MAX_GUEST_PATH_BYTES)
    throw wrongKind(`${path.slice(0, 80)}...`, 'too long a path');
  return path.split('/').filter((component) => component !== '');
}

async function target(link: FsNode, path: string): Promise<string> {
  if (link.content.sizeBytes > MAX_GUEST_PATH_BYTES) throw wrongKind(path, 'behind too long a symbolic link');
  return (await link.content.read(0, link.content.sizeBytes)).toString('utf8').replace(/\0.*/s, '');
}
