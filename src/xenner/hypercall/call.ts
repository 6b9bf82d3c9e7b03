/** What a hypercall's handler is given and gives back. */
import type { Vcpu } from '../domain/vcpu.js';

/** Six 64-bit arguments, copied out of the guest's reach before anything looks at them. */
export class HypercallArgs {
  readonly words = new BigUint64Array(6);
  readonly #halves = new Uint32Array(this.words.buffer);

  u64(index: number): bigint {
    return this.words[index]!;
  }

  /** The low 32 bits, as a C `unsigned int` parameter takes them. */
  u32(index: number): number {
    return this.#halves[index * 2]!;
  }

  /** The low 32 bits, signed: a C `int` parameter. */
  s32(index: number): number {
    return this.#halves[index * 2]! | 0;
  }

  /** A guest address or frame number as a number: exact below 2^53, otherwise NaN, which no check accepts. */
  number(index: number): number {
    const high = this.#halves[index * 2 + 1]!;
    return high < 2 ** 21 ? high * 2 ** 32 + this.#halves[index * 2]! : Number.NaN;
  }

  /** Copies six words from halves (low first), e.g. out of the vCPU area. */
  load(halves: Uint32Array, offset: number): void {
    for (let i = 0; i < 12; i++) this.#halves[i] = halves[offset + i]!;
  }
}

/** 0 or a positive result, or a negative Xen errno. Never throws for what a guest did. */
export type HypercallHandler = (vcpu: Vcpu, args: HypercallArgs) => number | bigint;

export interface Hypercall {
  /** __HYPERVISOR_* */
  readonly number: number;
  /** As in xen.h, without the prefix. */
  readonly name: string;
  readonly handler: HypercallHandler;
}
