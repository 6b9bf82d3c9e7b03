/** A debugger's breakpoints and watchpoints, and what the CPU needs to know of them. */
import { MAX_BREAKPOINTS } from '../../base/limits.js';
import { HOLE_END, HOLE_START } from '../monitor/vcpu-area.js';

/** Both kinds of breakpoints are the CPU's: nothing is written into the guest's code. */
export type PointKind = 'software' | 'hardware' | 'write' | 'access';

export interface Point {
  readonly kind: PointKind;
  readonly address: bigint;
  /** Bytes; of a breakpoint without a meaning. */
  readonly length: number;
}

/** DR7 (Intel SDM vol. 3, 17.2.4): R/W and LEN of each of DR0..3. */
const TYPES = { software: 0, hardware: 0, write: 1, access: 3 } as const;
const LENGTHS: Readonly<Record<number, number>> = { 1: 0, 2: 1, 4: 3, 8: 2 };
const DR7_FIXED = 0x400;
const SLOTS = 4;

const isBreakpoint = ({ kind }: Point) => kind === 'software' || kind === 'hardware';
export const isWatchpoint = (point: Point) => !isBreakpoint(point);
const same = (a: Point, b: Point) =>
  a.kind === b.kind && a.address === b.address && (isBreakpoint(a) || a.length === b.length);

function isPossible(point: Point): boolean {
  const { address, length } = point;
  if (address >= HOLE_START && address < HOLE_END) return false;
  return isBreakpoint(point) || (LENGTHS[length] !== undefined && address % BigInt(length) === 0n);
}

export class Points {
  readonly #breakpoints: Point[] = [];
  readonly #slots: (Point | undefined)[] = Array.from({ length: SLOTS }, () => undefined);

  /** @param maxBreakpoints what the engine has besides DR0..3 */
  constructor(private readonly maxBreakpoints: number) {}

  /** One that is there already stays. False if there cannot be such a point, or no more of them. */
  insert(point: Point): boolean {
    if (!isPossible(point)) return false;
    if (this.has(point)) return true;
    if (isBreakpoint(point) && this.maxBreakpoints > 0) {
      if (this.#breakpoints.length >= Math.min(this.maxBreakpoints, MAX_BREAKPOINTS)) return false;
      this.#breakpoints.push(point);
      return true;
    }
    const slot = this.#slots.indexOf(undefined);
    if (slot >= 0) this.#slots[slot] = point;
    return slot >= 0;
  }

  has(point: Point): boolean {
    return [...this.#breakpoints, ...this.#slots].some((other) => other && same(point, other));
  }

  /** One that is not there is gone already. */
  remove(point: Point): true {
    const at = this.#breakpoints.findIndex((other) => same(point, other));
    if (at >= 0) this.#breakpoints.splice(at, 1);
    const slot = this.#slots.findIndex((other) => other && same(point, other));
    if (slot >= 0) this.#slots[slot] = undefined;
    return true;
  }

  clear(): void {
    this.#breakpoints.length = 0;
    this.#slots.fill(undefined);
  }

  get any(): boolean {
    return this.#breakpoints.length > 0 || this.usesDebugRegisters;
  }

  /** Then the guest's own are not loaded. */
  get usesDebugRegisters(): boolean {
    return this.#slots.some((point) => point !== undefined);
  }

  /** For the engine. */
  get breakpoints(): bigint[] {
    return this.#breakpoints.map(({ address }) => address);
  }

  /** DR0..3 and DR7; DR7 is 0 when none is in use. */
  get debugRegisters(): bigint[] {
    let dr7 = this.usesDebugRegisters ? DR7_FIXED : 0;
    this.#slots.forEach((point, slot) => {
      if (point === undefined) return;
      const length = isBreakpoint(point) ? 0 : LENGTHS[point.length]!;
      dr7 |= (1 << (2 * slot)) | ((TYPES[point.kind] | (length << 2)) << (16 + 4 * slot));
    });
    return [...this.#slots.map((point) => point?.address ?? 0n), BigInt(dr7 >>> 0)];
  }

  /** The one of the debug registers that DR6 says was hit. */
  hitBySlot(dr6: number): Point | undefined {
    return this.#slots.find((point, slot) => point !== undefined && (dr6 & (1 << slot)) !== 0);
  }

  /** The engine's breakpoint at this address. */
  hitAt(address: bigint): Point | undefined {
    return this.#breakpoints.find((point) => point.address === address);
  }
}
