/** The system calls below StorageFile: all of a range, at a position, by Node.js's own threads. */
import { fdatasync, read, readv, write, writev } from 'node:fs';
import { slice, totalBytes } from './io-vector.js';

/** What of a file StorageFile's cache modes have in common. */
export interface HostIo {
  /** Answers how many bytes there were: fewer than asked for only at the file's end. */
  read(offset: number, into: readonly Uint8Array[]): Promise<number>;
  write(offset: number, from: readonly Uint8Array[]): Promise<void>;
}

type Transfer = (fd: number, buffers: readonly Uint8Array[], position: number) => Promise<number>;
type Done = (error: Error | null, bytes: number) => void;

function transfer(
  one: (fd: number, buffer: Uint8Array, length: number, position: number, done: Done) => void,
  many: (fd: number, buffers: readonly Uint8Array[], position: number, done: Done) => void,
): Transfer {
  return (fd, buffers, position) =>
    new Promise((resolve, reject) => {
      const done: Done = (error, bytes) => (error ? reject(error) : resolve(bytes));
      const [buffer] = buffers;
      if (buffer !== undefined && buffers.length === 1) one(fd, buffer, buffer.length, position, done);
      else many(fd, buffers, position, done);
    });
}

const readSome = transfer(
  (fd, buffer, length, position, done) => read(fd, buffer, 0, length, position, done),
  (fd, buffers, position, done) => readv(fd, buffers, position, done),
);
const writeSome = transfer(
  (fd, buffer, length, position, done) => write(fd, buffer, 0, length, position, done),
  (fd, buffers, position, done) => writev(fd, buffers, position, done),
);

/** A system call may do less than it was asked to: more than IOV_MAX buffers, a signal, the file's end. */
async function all(
  some: Transfer,
  fd: number,
  offset: number,
  buffers: readonly Uint8Array[],
): Promise<number> {
  const wanted = totalBytes(buffers);
  let done = 0;
  let rest = buffers;
  while (done < wanted) {
    const count = await some(fd, rest, offset + done);
    if (count === 0) break;
    done += count;
    if (done < wanted) rest = slice(buffers, done, wanted - done);
  }
  return done;
}

export function hostIo(fd: number): HostIo {
  return {
    read: (offset, into) => all(readSome, fd, offset, into),
    write: async (offset, from) => {
      const wanted = totalBytes(from);
      if ((await all(writeSome, fd, offset, from)) === wanted) return;
      throw Object.assign(new Error(`EIO: ${wanted} bytes at ${offset} are not written`), { code: 'EIO' });
    },
  };
}

/** Data, and what of the metadata it takes to read them, are on the disk. */
export function syncData(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(fd, (error) => (error ? reject(error) : resolve()));
  });
}
