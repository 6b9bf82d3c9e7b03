/** What a domain's two threads tell each other about debugging: the main thread asks, the vCPU thread answers. */
import type { Point } from './points.js';
import type { RegisterValues } from './registers.js';

export type ResumeAction = 'continue' | 'step' | 'stay';

export type DebugRequest =
  /** A client is there: stops the guest, whatever it does. */
  | { readonly op: 'attach' }
  /** It has gone: the guest goes on without breakpoints. */
  | { readonly op: 'detach' }
  | { readonly op: 'interrupt' }
  /** An action for each vCPU. */
  | { readonly op: 'resume'; readonly actions: readonly ResumeAction[] }
  | { readonly op: 'readRegisters'; readonly vcpu: number }
  | { readonly op: 'writeRegisters'; readonly vcpu: number; readonly values: RegisterValues }
  | { readonly op: 'readMemory'; readonly vcpu: number; readonly address: bigint; readonly length: number }
  | {
      readonly op: 'writeMemory';
      readonly vcpu: number;
      readonly address: bigint;
      readonly bytes: Uint8Array;
    }
  | { readonly op: 'insert'; readonly point: Point }
  | { readonly op: 'remove'; readonly point: Point }
  /** One line a vCPU. */
  | { readonly op: 'describe' };

/** By request: what the answer's `value` is. Those that fail for good reasons answer false, or undefined. */
export interface DebugAnswers {
  attach: true;
  detach: true;
  interrupt: true;
  resume: boolean;
  readRegisters: RegisterValues;
  /** False if one of them cannot be written; the others are. */
  writeRegisters: boolean;
  /** As far as it can be read. */
  readMemory: Uint8Array;
  writeMemory: boolean;
  insert: boolean;
  remove: true;
  describe: readonly string[];
}

/** Signal numbers as GDB counts them (include/gdb/signals.def). */
export const SIGNAL = { INT: 2, TRAP: 5, ABRT: 6, KILL: 9, SEGV: 11 } as const;

/** All vCPUs have stopped. */
export interface Stop {
  /** The one that it is about. */
  readonly vcpu: number;
  readonly signal: number;
  /** What was hit. */
  readonly point?: Point;
}

/** `value` is undefined where the request was for a guest that runs. */
export type DebugReply =
  | { readonly type: 'answer'; readonly value: unknown }
  | ({ readonly type: 'stop' } & Stop);
