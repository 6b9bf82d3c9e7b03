/** What long work on images has in common: it tells how far it is, and can be ended. */

/** @param done of `total`, in units of the work's own; never decreasing */
export type Progress = (done: number, total: number) => void;

export interface WorkOptions {
  readonly progress?: Progress | undefined;
  /** Once it is aborted, the work ends as soon as the image is in order, and rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}
