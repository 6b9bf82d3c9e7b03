/** One instruction of a vCPU by the trap flag: native/monitor/debug.c is the other side. */
import type { VirtualCpu } from '../domain/virtual-cpu.js';
import { DEBUG_STOP, DEBUG_TRAPS } from '../monitor/vcpu-area.js';
import { frameOfStopped, setFlags } from './guest-registers.js';

const TF = 0x100n;
const PUSHF = 0x9c;
const POPF = 0x9d;
const IRET = 0xcf;
/** Operand and address size, segments, REP, LOCK, REX: what can stand before those three. */
const PREFIXES = new Set([0x66, 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0xf0, 0xf2, 0xf3]);
const isPrefix = (byte: number) => PREFIXES.has(byte) || (byte & 0xf0) === 0x40;
const MAX_INSTRUCTION_BYTES = 15;

/** The instruction's first byte behind its prefixes; undefined if it cannot be read. */
function opcodeAt(vcpu: VirtualCpu, rip: bigint): number | undefined {
  for (let i = 0; i < MAX_INSTRUCTION_BYTES; i++) {
    const byte = vcpu.guest.read(BigInt.asUintN(64, rip + BigInt(i)), 1)?.[0];
    if (byte === undefined || !isPrefix(byte)) return byte;
  }
  return undefined;
}

export class SingleStep {
  /** The guest traces itself: the #DB after the instruction is its own. */
  readonly #guestsOwn: boolean;
  readonly #pushesFlags: boolean;

  /** Arms it; the vCPU is in the monitor, and stops there again. */
  constructor(private readonly vcpu: VirtualCpu) {
    const { area } = vcpu;
    const frame = frameOfStopped(vcpu);
    const opcode = frame && opcodeAt(vcpu, frame.rip);
    this.#guestsOwn = frame !== undefined && (frame.rflags & TF) !== 0n;
    this.#pushesFlags = opcode === PUSHF && !this.#guestsOwn;
    // What these two load is the guest's.
    const loadsFlags = opcode === POPF || opcode === IRET;
    area.set('debug_tf', this.#guestsOwn || loadsFlags ? 0n : TF);
    if (frame) setFlags(vcpu, frame.rflags | TF);
    area.set('debug_steps', BigInt.asUintN(64, area.get('debug_steps_done') + 1n));
    area.setLow('debug', DEBUG_STOP | DEBUG_TRAPS);
  }

  /** The #DB has come. True if the guest is to have it. */
  trapped(): boolean {
    if (this.#pushesFlags) this.#hidePushed();
    return this.#guestsOwn;
  }

  /** PUSHF has stored the TF that was not there. */
  #hidePushed(): void {
    const frame = frameOfStopped(this.vcpu);
    const at = frame && BigInt.asUintN(64, frame.rsp + 1n);
    const byte = at && this.vcpu.guest.read(at, 1);
    if (at && byte) this.vcpu.guest.write(at, Uint8Array.of(byte[0]! & ~Number(TF >> 8n)));
  }
}
