/**
 * The lock of vCPUs that run at the same time (native/monitor/smp.c): page types and page tables belong to whoever holds it, a
 * vCPU's monitor or the hypervisor.
 */
import type { DomainArea } from '../monitor/vcpu-area.js';

const FREE = 0;
const HELD = 1;
const SPINS = 1000;
const SLEEP_MS = 0.1;
/** A monitor holds it for milliseconds at most; its vCPU's thread may have to wait for a CPU. */
const PATIENCE_MS = 10_000;

export class DomainLock {
  readonly #word: Uint32Array;
  readonly #never = new Int32Array(new SharedArrayBuffer(4));

  constructor(area: DomainArea) {
    this.#word = area.halves('lock');
  }

  /**
   * What `serve` answers while it is held; undefined: nobody gives it back, since the guest has written over it, or the domain is
   * to end before that can be said.
   */
  during<T>(serve: () => T, stopped: () => boolean): T | undefined {
    if (!this.#take(stopped)) return undefined;
    try {
      return serve();
    } finally {
      Atomics.store(this.#word, 0, FREE);
    }
  }

  #take(stopped: () => boolean): boolean {
    if (this.#try()) return true;
    const end = performance.now() + PATIENCE_MS;
    while (performance.now() < end && !stopped()) {
      for (let i = 0; i < SPINS; i++) if (this.#try()) return true;
      Atomics.wait(this.#never, 0, 0, SLEEP_MS);
    }
    return false;
  }

  #try(): boolean {
    return Atomics.compareExchange(this.#word, 0, FREE, HELD) === FREE;
  }
}
