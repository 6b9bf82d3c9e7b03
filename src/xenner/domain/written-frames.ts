/**
 * Frames that a back end wrote. An engine that translates has to forget what it made of their code before the guest runs what is in
 * them now: on the vCPU's thread, and before the guest hears of it. Hardly a frame that a guest reads into was just run from, so all
 * but few are known to be none of these by a look at the engine's marks.
 */
export class WrittenFrames {
  readonly #marks: Uint8Array | undefined;
  #frames = new Set<number>();
  /** The last one that the vCPU thread was told of: those before it are obeyed by then as well. */
  #telling: Promise<void> | undefined;

  /** @param tell resolves when the vCPU thread knows; rejects when there is none any more */
  constructor(
    codeMarks: SharedArrayBuffer | undefined,
    private readonly tell: (mfns: readonly number[]) => Promise<void>,
  ) {
    if (codeMarks !== undefined) this.#marks = new Uint8Array(codeMarks);
  }

  add(mfn: number): void {
    // A locked instruction is a full barrier: see softcpu_invalidate() in native/softcpu/softcpu.h.
    if (this.#marks !== undefined && Atomics.or(this.#marks, mfn, 0) !== 0) this.#frames.add(mfn);
  }

  /** Resolves when the guest may hear of all that was written up to now; undefined: at once. */
  settled(): Promise<void> | undefined {
    if (this.#frames.size > 0) {
      const mfns = [...this.#frames];
      this.#frames = new Set();
      const forget = () => {
        if (this.#telling === telling) this.#telling = undefined;
      };
      const telling: Promise<void> = this.tell(mfns).then(forget, forget);
      this.#telling = telling;
    }
    return this.#telling;
  }
}
