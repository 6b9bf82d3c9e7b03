/**
 * Reading what a save file says. It may be damaged, or somebody's work: every value is checked for its type and range where
 * it is taken out, and an error names its place.
 */
import { XennerError } from '../../base/errors.js';

/** Values that JSON can hold. 64-bit numbers are hexadecimal text; a time that never comes is null. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

const MAX_U64 = 2n ** 64n - 1n;

export function hex64(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16)}`;
}

/** For Saved.time(). */
export function savedTime(ns: number): number | null {
  return ns === Infinity ? null : ns;
}

/** One value and its place. */
export class Saved {
  constructor(
    private readonly value: Json | undefined,
    private readonly place: string,
  ) {}

  /** The member of an object. */
  get(name: string): Saved {
    const { value } = this;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.wrong('an object');
    const own = Object.hasOwn(value, name) ? (value as Record<string, Json>)[name] : undefined;
    return new Saved(own, `${this.place}.${name}`);
  }

  /** Whether an object has this member. */
  has(name: string): boolean {
    return this.get(name).value !== undefined;
  }

  list(maxLength: number): Saved[] {
    if (!Array.isArray(this.value) || this.value.length > maxLength) {
      throw this.wrong(`a list of at most ${maxLength}`);
    }
    return this.value.map((each, i) => new Saved(each as Json, `${this.place}.${i}`));
  }

  /** A list of this length. */
  tuple(length: number): Saved[] {
    const list = this.list(length);
    if (list.length !== length) throw this.wrong(`a list of ${length}`);
    return list;
  }

  int(min: number, max: number): number {
    const { value } = this;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw this.wrong(`an integer from ${min} to ${max}`);
    }
    return value;
  }

  u32(): number {
    return this.int(0, 0xffffffff);
  }

  u64(): bigint {
    const { value } = this;
    const number = typeof value === 'string' && /^0x[0-9a-f]{1,16}$/.test(value) ? BigInt(value) : -1n;
    if (number < 0n || number > MAX_U64) throw this.wrong('a number of 64 bits');
    return number;
  }

  /** System time in ns, 0 to 2^53. */
  time(): number {
    const { value } = this;
    if (typeof value !== 'number' || !(value >= 0 && value <= Number.MAX_SAFE_INTEGER))
      throw this.wrong('a time');
    return value;
  }

  /** A time, or Infinity. */
  deadline(): number {
    return this.value === null ? Infinity : this.time();
  }

  bool(): boolean {
    if (typeof this.value !== 'boolean') throw this.wrong('true or false');
    return this.value;
  }

  text(maxLength: number): string {
    if (typeof this.value !== 'string' || this.value.length > maxLength) {
      throw this.wrong(`text of at most ${maxLength} characters`);
    }
    return this.value;
  }

  bytes(maxLength: number): Uint8Array {
    const bytes = Buffer.from(this.text(Math.ceil(maxLength / 3) * 4), 'base64');
    if (bytes.length > maxLength) throw this.wrong(`at most ${maxLength} bytes`);
    return bytes;
  }

  oneOf<T extends string | number>(choices: readonly T[]): T {
    const found = choices.find((choice) => choice === this.value);
    if (found === undefined) throw this.wrong(`one of ${choices.join(', ')}`);
    return found;
  }

  /** As it stands, null where it does not: for whoever has put it there, and knows what it may be. */
  json(): Json {
    return this.value ?? null;
  }

  /** Null is undefined. */
  optional<T>(read: (saved: Saved) => T): T | undefined {
    return this.value === null ? undefined : read(this);
  }

  /** An error that says what ought to stand here. */
  wrong(expected: string): XennerError {
    return new XennerError('ESAVE_DAMAGED', `the save file is damaged: ${this.place} is not ${expected}`);
  }
}
