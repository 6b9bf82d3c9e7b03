/** Hypercalls by number. */
import { ENOSYS } from '../abi/errno.js';
import * as abi from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import type { Hypercall, HypercallArgs } from './call.js';

const PREFIX = '__HYPERVISOR_';
const NR_ARGS = 6;

/** Of every hypercall that Xen has, implemented or not. */
const names: ReadonlyMap<number, string> = new Map(
  Object.entries(abi)
    .filter(([name, number]) => name.startsWith(PREFIX) && typeof number === 'number')
    .map(([name, number]) => [number as number, name.slice(PREFIX.length)]),
);

/** For people: the name as in xen.h, or the number. */
export function hypercallName(number: number): string {
  return names.get(number) ?? `hypercall ${number}`;
}

export class HypercallTable {
  readonly #calls: Array<Hypercall | undefined> = new Array(names.size).fill(undefined);

  /** @throws Error for two calls of one number, or a name that is not the number's: our own bug */
  constructor(calls: Iterable<Hypercall>) {
    for (const call of calls) {
      if (this.#calls[call.number] !== undefined)
        throw new Error(`hypercall ${call.number} is registered twice`);
      if (names.get(call.number) !== call.name)
        throw new Error(`hypercall ${call.number} is ${names.get(call.number)}, not ${call.name}`);
      this.#calls[call.number] = call;
    }
  }

  lookup(number: number): Hypercall | undefined {
    return this.#calls[number];
  }

  /**
   * Makes one call. An exception is our own bug, never something that a guest did, and goes through to the caller.
   * @param number any number that a guest may have in a register; what is no u32 is for the caller to map to none
   */
  dispatch(vcpu: Vcpu, number: number, args: HypercallArgs): number | bigint {
    const call = this.#calls[number];
    const { log } = vcpu.domain;
    if (call === undefined) {
      // One line for all numbers that Xen does not have either: a guest must not fill the log.
      const known = names.get(number);
      log.warnOnce(`hypercall ${known}`, `hypercall ${known ?? number} is not implemented`);
      return -ENOSYS;
    }
    if (!log.traces('hypercall')) return call.handler(vcpu, args);
    // Before the call: the arguments of a multicall's entries share one object.
    const words = Array.from({ length: NR_ARGS }, (_, i) => `0x${args.u64(i).toString(16)}`);
    const result = call.handler(vcpu, args);
    log.trace('hypercall', call.name, { vcpu: vcpu.id, args: words, result: String(result) });
    return result;
  }
}
