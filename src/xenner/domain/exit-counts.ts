/** How often a domain's vCPUs needed the hypervisor, what for, and what they gave it. Counted on their thread, read on any. */
import * as xen from '../abi/xen.js';
import * as monitor from '../monitor/vcpu-area.js';

/** From here on other kinds than hypercalls, which have their own numbers; as many as the monitor's fast paths know. */
const NR_HYPERCALLS = 64;
const NR_REASONS = 16;
const HALT = NR_HYPERCALLS + NR_REASONS;
const ENGINE = HALT + 1;
const UNKNOWN = HALT + 2;
const KICK = HALT + 3;
const FREE_PAGES = HALT + 4;
const SIZE = HALT + 5;

/** The constants of a header by number, as their names go on behind the prefix. */
function named(constants: object, prefix: string, first: number): [number, string][] {
  return Object.entries(constants).flatMap(([name, value]): [number, string][] =>
    name.startsWith(prefix) ? [[first + (value as number), name.slice(prefix.length).toLowerCase()]] : [],
  );
}

function names(): Map<number, string> {
  return new Map([
    ...named(xen, '__HYPERVISOR_', 0),
    ...named(monitor, 'MONITOR_EXIT_', NR_HYPERCALLS),
    [HALT, 'halt'],
    [ENGINE, 'engine'],
  ]);
}

/** What a domain has cost since it was started, or last restarted. */
export interface DomainStats {
  /**
   * Exits by what for, those that happened: hypercalls by their name, apart from those that the monitor served; what the
   * monitor cannot do alone (`timer`, `ptwr`, ...); `halt`; `engine`: what concerned nobody but the engine.
   */
  readonly exits: Readonly<Record<string, number>>;
  /** Times that another thread, or a timer, woke the vCPUs' thread: with one vCPU, an exit too. */
  readonly kicks: number;
  /** Pages of its memory that the guest has given back now. */
  readonly freePages: number;
}

export class ExitCounts {
  // A double holds every count that there will be, and is one store; only the vCPUs' thread writes.
  readonly #counts: Float64Array;

  constructor(readonly buffer = new SharedArrayBuffer(SIZE * Float64Array.BYTES_PER_ELEMENT)) {
    this.#counts = new Float64Array(buffer);
  }

  /** Numbers and reasons come from the guest: any will do. */
  hypercall(number: number): void {
    this.#counts[number < NR_HYPERCALLS ? number : UNKNOWN]!++;
  }

  /** A MONITOR_EXIT_* that is no hypercall. */
  monitor(reason: number): void {
    this.#counts[reason < NR_REASONS ? NR_HYPERCALLS + reason : UNKNOWN]!++;
  }

  halt(): void {
    this.#counts[HALT]!++;
  }

  kick(): void {
    this.#counts[KICK]!++;
  }

  /** So many all in all. */
  setEngine(count: number): void {
    this.#counts[ENGINE] = count;
  }

  setFreePages(count: number): void {
    this.#counts[FREE_PAGES] = count;
  }

  read(): DomainStats {
    const known = names();
    const exits: Record<string, number> = {};
    this.#counts.subarray(0, KICK).forEach((count, index) => {
      const name = known.get(index) ?? 'unknown';
      if (count > 0) exits[name] = (exits[name] ?? 0) + count;
    });
    return { exits, kicks: this.#counts[KICK]!, freePages: this.#counts[FREE_PAGES]! };
  }
}
