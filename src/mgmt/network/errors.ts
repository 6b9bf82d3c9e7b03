/** What host interfaces complain of, by libvirt's names for it (virterror.h). */
import { CodedError } from '../../base/errors.js';

export type InterfaceErrorCode =
  | 'VIR_ERR_CONFIG_UNSUPPORTED'
  | 'VIR_ERR_INVALID_INTERFACE'
  | 'VIR_ERR_MULTIPLE_INTERFACES'
  | 'VIR_ERR_NO_INTERFACE'
  | 'VIR_ERR_OPERATION_DENIED'
  | 'VIR_ERR_OPERATION_FAILED'
  | 'VIR_ERR_OPERATION_INVALID'
  | 'VIR_ERR_OPERATION_UNSUPPORTED'
  | 'VIR_ERR_SYSTEM_ERROR'
  | 'VIR_ERR_XML_ERROR';

export class InterfaceError extends CodedError<InterfaceErrorCode> {}

/** A name as it may stand in a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
