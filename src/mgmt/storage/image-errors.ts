/** What image formats complain of. */
import { XennerError } from '../../base/errors.js';

/** What the file says of itself cannot be. */
export function damaged(path: string, what: string): XennerError {
  return new XennerError('EIMAGE_DAMAGED', `${path} is damaged: ${what}`, 'look at it with `qemu-img check`');
}

/** A good image that takes something which is not there. */
export function unsupported(path: string, what: string): XennerError {
  return new XennerError('EIMAGE_UNSUPPORTED', `${path} ${what}`);
}

/** Refused for what was asked, as a system call does. */
export function refused(code: 'EINVAL' | 'EROFS' | 'EBADF' | 'EPERM' | 'EIO' | 'EFBIG', what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
