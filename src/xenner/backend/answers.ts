/** A ring's responses on their way to the guest, which sees none before it may: see BackendHost.settled(). */
import type { BackRing } from './back-ring.js';
import type { BackendHost } from './backend-host.js';

export class Answers {
  #waiting: Promise<void> | undefined;
  #closed = false;

  constructor(
    private readonly host: Pick<BackendHost, 'settled' | 'memory'>,
    private readonly ring: Pick<BackRing, 'pushResponses'>,
    private readonly notify: () => void,
  ) {}

  /** Shows the guest the ring's responses, now or as soon as it may see them. */
  push(): void {
    // A guest that was destroyed takes its memory along.
    if (this.#closed || this.#waiting !== undefined || this.host.memory.size === 0) return;
    const settled = this.host.settled();
    if (settled === undefined) {
      if (this.ring.pushResponses()) this.notify();
      return;
    }
    this.#waiting = settled.then(() => {
      this.#waiting = undefined;
      // Others may have been put there meanwhile.
      this.push();
    });
  }

  /** Resolves when the guest sees what was pushed. */
  async pushed(): Promise<void> {
    while (this.#waiting !== undefined) await this.#waiting;
  }

  /** Nothing of the ring is touched afterwards. Idempotent. */
  close(): void {
    this.#closed = true;
  }
}
