/** The system calls below StorageFile: all of a range, at a position. */
import { fileIo } from '../../kvm/index.js';

/** What of a file StorageFile's cache modes have in common. */
export interface HostIo {
  /** Answers how many bytes there were: fewer than asked for only at the file's end. */
  read(offset: number, into: readonly Uint8Array[]): Promise<number>;
  write(offset: number, from: readonly Uint8Array[]): Promise<unknown>;
}

export function hostIo(fd: number): HostIo {
  const io = fileIo();
  return {
    read: (offset, into) => io.readv(fd, into, offset),
    write: (offset, from) => io.writev(fd, from, offset),
  };
}

/** Data, and what of the metadata it takes to read them, are on the disk. */
export function syncData(fd: number): Promise<void> {
  return fileIo().fdatasync(fd);
}
