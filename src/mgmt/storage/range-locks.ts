/** Exclusive use of ranges: who overlaps with somebody waits for all who asked before. */
export class RangeLocks {
  readonly #held = new Set<{
    readonly first: number;
    readonly last: number;
    readonly ended: Promise<unknown>;
  }>();

  /** Runs `task` while nobody else has any of first..last. A task must not ask for a second range. */
  async run<T>(first: number, last: number, task: () => Promise<T>): Promise<T> {
    const before: Promise<unknown>[] = [];
    for (const range of this.#held) {
      if (range.first <= last && first <= range.last) before.push(range.ended);
    }
    const result = before.length === 0 ? task() : Promise.allSettled(before).then(task);
    const range = { first, last, ended: result };
    this.#held.add(range);
    try {
      return await result;
    } finally {
      this.#held.delete(range);
    }
  }
}
