/** ext2, ext3 and ext4, read-only. */
import { BufferBytes, type ByteSource, fileOfBlocks, MappedBytes } from '../byte-source.js';
import { damaged, unsupported } from '../errors.js';
import { type DirEntry, type FileSystem, type FsNode, kindOf } from '../file-system.js';
import { blockMap } from './block-map.js';
import { directoryEntries, inlineEntries } from './directory.js';
import { type ExtInode, I_BLOCK_BYTES, inlineData, readInode } from './inode.js';
import { replayJournal } from './journal.js';
import { COMPAT_HAS_JOURNAL, type ExtSuperblock, INCOMPAT_RECOVER, readSuperblock } from './superblock.js';

const EXT4_ROOT_INO = 2;

/** Undefined: it is none. Nothing is written: a journal is replayed in memory. */
export async function openExt(disk: ByteSource): Promise<FileSystem | undefined> {
  const superblock = await readSuperblock(disk);
  if (superblock === undefined) return undefined;
  if ((superblock.incompat & INCOMPAT_RECOVER) === 0 || (superblock.compat & COMPAT_HAS_JOURNAL) === 0)
    return new ExtFileSystem(disk, superblock, []);
  if (superblock.journalInode === 0)
    return new ExtFileSystem(disk, superblock, ['its journal is on another device and was not replayed']);
  const log = contentOf(disk, superblock, await readInode(disk, superblock, superblock.journalInode));
  const replayed = await replayJournal(disk, log, superblock.blockBytes);
  const after = await readSuperblock(replayed.disk);
  if (after === undefined) throw damaged('the journal would destroy the superblock');
  return new ExtFileSystem(replayed.disk, after, replayed.notes);
}

class ExtFileSystem implements FileSystem {
  readonly type: string;
  readonly label: string;
  readonly uuid: string;
  readonly root = EXT4_ROOT_INO;

  constructor(
    private readonly disk: ByteSource,
    private readonly superblock: ExtSuperblock,
    readonly notes: readonly string[],
  ) {
    this.type = superblock.type;
    this.label = superblock.label;
    this.uuid = superblock.uuid;
  }

  async node(id: number): Promise<FsNode> {
    const inode = await readInode(this.disk, this.superblock, id);
    return {
      id,
      kind: kindOf(inode.mode),
      mode: inode.mode,
      content: contentOf(this.disk, this.superblock, inode),
    };
  }

  async *entries(directory: FsNode): AsyncGenerator<DirEntry> {
    const inode = await readInode(this.disk, this.superblock, directory.id);
    if (inode.isEncrypted) throw unsupported(`the directory in inode ${inode.number} is encrypted`);
    if (inode.isInline) yield* inlineEntries(inlineData(inode), inode);
    else yield* directoryEntries(directory.content, this.superblock.blockBytes, inode);
  }
}

function contentOf(disk: ByteSource, superblock: ExtSuperblock, inode: ExtInode): ByteSource {
  if (inode.isEncrypted && kindOf(inode.mode) !== 'directory')
    throw unsupported(`the file in inode ${inode.number} is encrypted`);
  if (inode.isInline) {
    // A file may be longer than what is inline: the rest is a hole.
    const source = new BufferBytes(inlineData(inode));
    return new MappedBytes(inode.sizeBytes, (offset, wanted) => {
      const length = source.sizeBytes - offset;
      return length > 0 ? { source, offset, length } : { offset: 0, length: wanted };
    });
  }
  // Symbolic links that fit are where the block numbers of others are.
  if (kindOf(inode.mode) === 'symlink' && inode.sizeBytes < I_BLOCK_BYTES && !inode.hasExtents)
    return new BufferBytes(inode.block.subarray(0, inode.sizeBytes));
  const runs = blockMap(disk, superblock.blockBytes, inode);
  return fileOfBlocks(disk, superblock.blockBytes, inode.sizeBytes, runs);
}
