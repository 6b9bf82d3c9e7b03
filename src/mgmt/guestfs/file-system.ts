/** What each kind of file system has to offer; names, paths and symbolic links are dealt with above (guest-files.ts). */
import type { ByteSource } from './byte-source.js';

export type NodeKind = 'file' | 'directory' | 'symlink' | 'other';

/** A file, opened by its number. */
export interface FsNode {
  readonly id: number;
  readonly kind: NodeKind;
  /** POSIX, with the type. */
  readonly mode: number;
  /** A file's bytes, a symbolic link's target; of a directory what its file system makes of it. */
  readonly content: ByteSource;
}

export interface DirEntry {
  readonly name: string;
  readonly id: number;
}

/** An open file system; it is only read. */
export interface FileSystem {
  /** As mount(8) calls it. */
  readonly type: string;
  readonly label: string;
  /** In lower case; empty where there is none. */
  readonly uuid: string;
  /** What a user should know about this one. */
  readonly notes: readonly string[];
  readonly root: number;
  /** @throws XennerError (rejection) when there is no such node, or it is damaged */
  node(id: number): Promise<FsNode>;
  /** In the order of the disk, with `.` and `..` as they are there. */
  entries(directory: FsNode): AsyncIterable<DirEntry>;
}

const S_IFMT = 0o170000;
const KINDS = new Map<number, NodeKind>([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o120000, 'symlink'],
]);

export function kindOf(mode: number): NodeKind {
  return KINDS.get(mode & S_IFMT) ?? 'other';
}
