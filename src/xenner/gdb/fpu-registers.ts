/** FPU and SSE registers between what FXSAVE stores (Intel SDM vol. 1, 10.5.1, 64-bit mode) and what GDB shows. */
import type { RegisterValues } from './registers.js';

interface Place {
  readonly at: number;
  readonly bytes: number;
}

const rows = (name: string, count: number, at: number, bytes: number) =>
  Array.from({ length: count }, (_, i) => [`${name}${i}`, { at: at + 16 * i, bytes }] as const);

/** Those that stand there as they are. */
const PLACES = new Map<string, Place>([
  ['fctrl', { at: 0, bytes: 2 }],
  ['fstat', { at: 2, bytes: 2 }],
  ['fop', { at: 6, bytes: 2 }],
  ['fioff', { at: 8, bytes: 4 }],
  ['fiseg', { at: 12, bytes: 4 }],
  ['fooff', { at: 16, bytes: 4 }],
  ['foseg', { at: 20, bytes: 4 }],
  ['mxcsr', { at: 24, bytes: 4 }],
  ...rows('st', 8, 32, 10),
  ...rows('xmm', 16, 160, 16),
]);
const ABRIDGED_TAGS = 4;
const TOP_SHIFT = 11;
const EMPTY = 3;
/** What no CPU has in MXCSR: FXRSTOR refuses it. */
const MXCSR_VALID = 0xffffn;

function get(state: Uint8Array, { at, bytes }: Place): bigint {
  return BigInt(
    `0x${Buffer.from(state.subarray(at, at + bytes))
      .reverse()
      .toString('hex')}`,
  );
}

function put(state: Uint8Array, { at, bytes }: Place, value: bigint): void {
  for (let i = 0; i < bytes; i++) state[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
}

/** Of a register that is not empty: 0 valid, 1 zero, 2 special. */
function tagOf(value: bigint): number {
  const exponent = (value >> 64n) & 0x7fffn;
  const integerBit = (value >> 63n) & 1n;
  if (exponent === 0n) return value === (value & (1n << 79n)) ? 1 : 2;
  return exponent === 0x7fffn || integerBit === 0n ? 2 : 0;
}

/** FXSAVE keeps a bit for each register, by its number and not by its place on the stack; FSAVE kept two. */
function tags(state: Uint8Array): bigint {
  const top = (Number(get(state, PLACES.get('fstat')!)) >> TOP_SHIFT) & 7;
  let word = 0n;
  for (let number = 0; number < 8; number++) {
    const used = (state[ABRIDGED_TAGS]! >> number) & 1;
    const place = PLACES.get(`st${(number - top) & 7}`)!;
    word |= BigInt(used === 0 ? EMPTY : tagOf(get(state, place))) << BigInt(2 * number);
  }
  return word;
}

function setTags(state: Uint8Array, word: bigint): void {
  let bits = 0;
  for (let number = 0; number < 8; number++) {
    if (((word >> BigInt(2 * number)) & 3n) !== BigInt(EMPTY)) bits |= 1 << number;
  }
  state[ABRIDGED_TAGS] = bits;
}

export function fpuRegisters(state: Uint8Array): RegisterValues {
  const values = Object.fromEntries([...PLACES].map(([name, place]) => [name, get(state, place)]));
  return { ...values, ftag: tags(state) };
}

export function isFpuRegister(name: string): boolean {
  return name === 'ftag' || PLACES.has(name);
}

/** False for a value that no CPU takes; nothing is changed then. */
export function setFpuRegister(state: Uint8Array, name: string, value: bigint): boolean {
  if (name === 'mxcsr' && (value & ~MXCSR_VALID) !== 0n) return false;
  if (name === 'ftag') setTags(state, value);
  else put(state, PLACES.get(name)!, value);
  return true;
}
