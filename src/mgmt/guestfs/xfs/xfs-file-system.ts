/** XFS of version 4 and 5, read-only. */
import { MAX_GUEST_PATH_BYTES } from '../../../base/limits.js';
import { BufferBytes, type ByteSource, fileOfBlocks, slice } from '../byte-source.js';
import { damaged } from '../errors.js';
import { type DirEntry, type FileSystem, type FsNode, kindOf } from '../file-system.js';
import { blockMap } from './block-map.js';
import { blockEntries, shortEntries } from './directory.js';
import { FORMAT, readInode, type XfsInode } from './inode.js';
import { isLogClean } from './log.js';
import { blockOnDisk, readSuperblock, type XfsSuperblock } from './superblock.js';

/** A remote symbolic link of version 5 has struct xfs_dsymlink_hdr at the beginning of each extent. */
const SYMLINK_HEADER_BYTES = 56;

/** Undefined: it is none. */
export async function openXfs(disk: ByteSource): Promise<FileSystem | undefined> {
  const superblock = await readSuperblock(disk);
  if (superblock === undefined) return undefined;
  const notes: string[] = [];
  if (superblock.needsRepair) notes.push('it is marked as in need of repair');
  if (!(await isClean(disk, superblock)))
    notes.push('its log was not replayed: what was written last before it was switched off may be missing');
  return new XfsFileSystem(disk, superblock, notes);
}

async function isClean(disk: ByteSource, superblock: XfsSuperblock): Promise<boolean> {
  const { logStart, logBlocks, blockBytes } = superblock;
  if (logStart === 0) return false;
  const start = blockOnDisk(superblock, logStart, logBlocks) * blockBytes;
  return isLogClean(slice(disk, start, logBlocks * blockBytes));
}

class XfsFileSystem implements FileSystem {
  readonly type = 'xfs';
  readonly label: string;
  readonly uuid: string;
  readonly root: number;

  constructor(
    private readonly disk: ByteSource,
    private readonly superblock: XfsSuperblock,
    readonly notes: readonly string[],
  ) {
    this.label = superblock.label;
    this.uuid = superblock.uuid;
    this.root = superblock.rootInode;
  }

  async node(id: number): Promise<FsNode> {
    const inode = await readInode(this.disk, this.superblock, id);
    const kind = kindOf(inode.mode);
    return { id, kind, mode: inode.mode, content: await this.content(inode) };
  }

  async *entries(directory: FsNode): AsyncGenerator<DirEntry> {
    const inode = await readInode(this.disk, this.superblock, directory.id);
    if (inode.format === FORMAT.local) yield* shortEntries(inode.fork, inode, this.superblock);
    else yield* blockEntries(directory.content, inode, this.superblock);
  }

  private async content(inode: XfsInode): Promise<ByteSource> {
    const { disk, superblock } = this;
    if (inode.format === FORMAT.dev) return new BufferBytes(Buffer.alloc(0));
    if (inode.format === FORMAT.local) {
      if (inode.sizeBytes > inode.fork.length) throw damaged(`inode ${inode.number} is longer than itself`);
      return new BufferBytes(inode.fork.subarray(0, inode.sizeBytes));
    }
    if (kindOf(inode.mode) === 'symlink' && superblock.isV5) return this.remoteLink(inode);
    return fileOfBlocks(disk, superblock.blockBytes, inode.sizeBytes, blockMap(disk, superblock, inode));
  }

  private async remoteLink(inode: XfsInode): Promise<ByteSource> {
    const { disk, superblock } = this;
    if (inode.sizeBytes > MAX_GUEST_PATH_BYTES)
      throw damaged(`the symbolic link in inode ${inode.number} is too long`);
    const runAt = blockMap(disk, superblock, inode);
    const pieces: Buffer[] = [];
    let block = 0;
    for (let left = inode.sizeBytes; left > 0; ) {
      const { physical, count } = await runAt(block, 1);
      if (physical === undefined) throw damaged(`the symbolic link in inode ${inode.number} has a hole`);
      const length = Math.min(left, count * superblock.blockBytes - SYMLINK_HEADER_BYTES);
      pieces.push(await disk.read(physical * superblock.blockBytes + SYMLINK_HEADER_BYTES, length));
      left -= length;
      block += count;
    }
    return new BufferBytes(Buffer.concat(pieces));
  }
}
