/** What goes wrong with a guest's disk. All are XennerErrors: an image is the user's, and nothing in it is our bug. */
import { XennerError } from '../../base/errors.js';

/** The disk contradicts itself. */
export function damaged(what: string): XennerError {
  return new XennerError('EGUEST_DISK_DAMAGED', what, 'check the file system with the tools that made it');
}

/** The disk may be in order, but we do not read such ones. */
export function unsupported(what: string): XennerError {
  return new XennerError('EGUEST_DISK_UNSUPPORTED', what, 'take kernel and ramdisk out by other means');
}

export function noSuchFile(path: string): XennerError {
  return new XennerError('EGUEST_NO_FILE', `${path}: no such file in the guest`);
}

/** A file that is not of the kind that was asked for. */
export function wrongKind(path: string, what: string): XennerError {
  return new XennerError('EGUEST_FILE_KIND', `${path} in the guest is ${what}`);
}

export function overLimit(what: string): XennerError {
  return new XennerError('EGUEST_LIMIT', what);
}
