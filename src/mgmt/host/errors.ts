/** What host management complains of: by libvirt's names where libvirt has the same complaint (virterror.h), else by the host's. */
import { CodedError } from '../../base/errors.js';

export type HostErrorCode =
  | 'VIR_ERR_INTERNAL_ERROR'
  | 'VIR_ERR_INVALID_ARG'
  | 'VIR_ERR_NO_SUPPORT'
  | 'VIR_ERR_OPERATION_FAILED'
  | 'VIR_ERR_OPERATION_INVALID'
  | 'VIR_ERR_SYSTEM_ERROR'
  /** Not this user's to change, or nobody's here. */
  | 'EACCES'
  /** There is less memory than was asked for; what was changed is as it was before. */
  | 'ENOMEM';

export class HostError extends CodedError<HostErrorCode> {}
