/** What storage pools complain of, by libvirt's names for it (virterror.h). */
import { CodedError, XennerError } from '../../../base/errors.js';

export type PoolErrorCode =
  | 'VIR_ERR_ACCESS_DENIED'
  | 'VIR_ERR_CONFIG_UNSUPPORTED'
  | 'VIR_ERR_INTERNAL_ERROR'
  | 'VIR_ERR_INVALID_ARG'
  | 'VIR_ERR_NO_STORAGE_POOL'
  | 'VIR_ERR_NO_STORAGE_VOL'
  | 'VIR_ERR_NO_SUPPORT'
  | 'VIR_ERR_OPERATION_FAILED'
  | 'VIR_ERR_OPERATION_INVALID'
  | 'VIR_ERR_OVERFLOW'
  | 'VIR_ERR_STORAGE_POOL_BUILT'
  | 'VIR_ERR_STORAGE_PROBE_FAILED'
  | 'VIR_ERR_STORAGE_VOL_EXIST'
  | 'VIR_ERR_SYSTEM_ERROR'
  | 'VIR_ERR_XML_ERROR';

export class PoolError extends CodedError<PoolErrorCode> {}

/** A name or path as it may stand in a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}

/** A failed system call, with what it was for. */
export function systemError(what: string, error: unknown): XennerError {
  if (error instanceof XennerError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const why = /^\w+: ([^,]+)/.exec(message)?.[1] ?? message;
  const next = code === 'EACCES' || code === 'EPERM' ? 'run it as root, or as the owner' : undefined;
  return new PoolError('VIR_ERR_SYSTEM_ERROR', `${what}: ${why}`, next, { cause: error });
}
