/** What a request can be refused with: the names of xsd_errors (public/io/xs_wire.h) go over the wire as text. */
export type XsdError =
  | 'EINVAL'
  | 'EACCES'
  | 'EEXIST'
  | 'EISDIR'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOSPC'
  | 'EIO'
  | 'ENOTEMPTY'
  | 'ENOSYS'
  | 'EROFS'
  | 'EBUSY'
  | 'EAGAIN'
  | 'EISCONN'
  | 'E2BIG'
  | 'EPERM';

/** A request that is refused: an answer to whoever sent it, never a failure of the store. */
export class XenstoreError extends Error {
  override readonly name = 'XenstoreError';

  constructor(
    readonly code: XsdError,
    what: string,
  ) {
    super(`${code}: ${what}`);
  }
}
