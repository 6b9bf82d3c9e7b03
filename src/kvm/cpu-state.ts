/** A vCPU's architectural state, and its order in the addon's words (native/cpu_state.h is the mirror). */

/** A segment register with its hidden part. */
export interface Segment {
  selector: number;
  base: bigint;
  /** In bytes: already scaled by the granularity bit. */
  limit: number;
  /** The descriptor's upper dword: type, S, DPL, P in bits 8..15, AVL, L, D/B, G in bits 20..23. */
  flags: number;
}

export interface TableRegister {
  base: bigint;
  limit: number;
}

const GENERAL = [
  ...(['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip', 'rflags'] as const),
] as const;
const CONTROL = [
  'cr0',
  'cr2',
  'cr3',
  'cr4',
  'efer',
  'star',
  'lstar',
  'cstar',
  'sfmask',
  'kernelGsBase',
] as const;
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const;
const TABLES = ['gdt', 'idt'] as const;
/** tscOffset: guest TSC = host TSC + tscOffset, modulo 2^64. */
const REST = ['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7', 'xcr0', 'pat', 'tscOffset'] as const;

type Scalar = (typeof GENERAL | typeof CONTROL | typeof REST)[number];

/** FPU and SSE registers are not in it: a new vCPU has their reset state, and Vcpu.setFpu others. */
export type CpuState = Record<Scalar, bigint> &
  Record<(typeof SEGMENTS)[number], Segment> &
  Record<(typeof TABLES)[number], TableRegister>;

/** Of Vcpu.getFpu and setFpu. */
export const FPU_STATE_BYTES = 512;

/** 16 general registers, rip, rflags; control and MSRs; 4 words a segment; 2 a table; the rest. */
export const CPU_STATE_WORDS =
  GENERAL.length + CONTROL.length + 4 * SEGMENTS.length + 2 * TABLES.length + REST.length;

function word32(name: string, value: number): bigint {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new RangeError(`${name} must be an integer of 32 bits, not ${value}`);
  }
  return BigInt(value);
}

/** CpuState to the addon's words. Throws RangeError for 32-bit fields out of range; 64-bit ones wrap. */
export function encodeCpuState(state: CpuState): BigUint64Array {
  const words: bigint[] = [];
  for (const name of [...GENERAL, ...CONTROL]) words.push(state[name]);
  for (const name of SEGMENTS) {
    const { selector, base, limit, flags } = state[name];
    words.push(word32(`${name}.selector`, selector), base);
    words.push(word32(`${name}.limit`, limit), word32(`${name}.flags`, flags));
  }
  for (const name of TABLES) words.push(state[name].base, word32(`${name}.limit`, state[name].limit));
  for (const name of REST) words.push(state[name]);
  return BigUint64Array.from(words);
}

/** The addon's words to CpuState. */
export function decodeCpuState(words: BigUint64Array): CpuState {
  if (words.length !== CPU_STATE_WORDS) throw new RangeError(`CPU state of ${words.length} words`);
  const state = {} as CpuState;
  let at = 0;
  const next = () => words[at++]!;
  for (const name of [...GENERAL, ...CONTROL]) state[name] = next();
  for (const name of SEGMENTS) {
    state[name] = { selector: Number(next()), base: next(), limit: Number(next()), flags: Number(next()) };
  }
  for (const name of TABLES) state[name] = { base: next(), limit: Number(next()) };
  for (const name of REST) state[name] = next();
  return state;
}
