/** Failures of the host or of what the user asked for. A guest's mistake is never one of these: it is a Xen errno. */
export class XennerError extends Error {
  override readonly name = 'XennerError';

  /**
   * @param code upper-case identifier that programs can test, e.g. `EKERNEL_NOT_PV`
   * @param message one line: what is wrong
   * @param next one clause: what the user can do about it
   */
  constructor(
    readonly code: string,
    message: string,
    readonly next?: string,
    options?: ErrorOptions,
  ) {
    super(next === undefined ? message : `${message}; ${next}`, options);
  }
}

/** Whose code is one of a few, which its part of the project has. */
export class CodedError<Code extends string> extends XennerError {
  constructor(
    override readonly code: Code,
    message: string,
    next?: string,
    options?: ErrorOptions,
  ) {
    super(code, message, next, options);
  }
}
