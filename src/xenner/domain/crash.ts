/** What is kept of a guest that crashed: registers and stack as the monitor last had them. */

import { type Gpa, gpa } from '../../kvm/index.js';
import {
  BLOCK_SIZE,
  blockOffset,
  CRASH_BAD_IRET,
  CRASH_BAD_STACK,
  CRASH_DOUBLE_FAULT,
  CRASH_NO_HANDLER,
  CRASH_NO_USER_TABLES,
  regs,
} from '../monitor/vcpu-area.js';
import type { Machine } from './machine.js';
import type { VirtualCpu } from './virtual-cpu.js';

const STACK_WORDS = 32;

export interface CrashReport {
  /** One clause. */
  readonly why: string;
  readonly registers: Readonly<Record<string, bigint>>;
  /** Words from rsp up; fewer where the stack cannot be read. */
  readonly stack: readonly bigint[];
  /** Instruction bytes at rip; empty where they cannot be read. */
  readonly code: Uint8Array;
}

const CRASH_CLAUSES: Readonly<Record<number, string>> = {
  [CRASH_NO_HANDLER]: 'an exception that the guest has no handler for',
  [CRASH_BAD_STACK]: 'the kernel stack cannot take an exception frame',
  [CRASH_BAD_IRET]: 'the iret frame cannot be read',
  [CRASH_DOUBLE_FAULT]: 'a double fault',
  [CRASH_NO_USER_TABLES]: 'it went to user mode without page tables for it',
};

/** @param reason CRASH_* of the vCPU area */
export function crashClause(reason: number): string {
  return CRASH_CLAUSES[reason] ?? 'the guest broke the monitor';
}

/** The register frame that the monitor points to, if it lies in this vCPU's block; the CPU's own otherwise. */
export function crashReport(machine: Machine, why: string, vcpu: VirtualCpu): CrashReport {
  const { memory } = machine;
  const offset = Number(vcpu.area.get('registers'));
  const block = blockOffset(vcpu.id);
  const inBlock = offset >= block && offset + regs.size <= block + BLOCK_SIZE;
  const frame = inBlock
    ? regs.decode(memory.copyOut(gpa(machine.frames.monitor + offset) as Gpa, regs.size))
    : undefined;
  const registers: Record<string, bigint> = frame ? { ...frame } : cpuRegisters(vcpu);
  registers.cr2 = vcpu.area.get('cr2');
  registers.cr3 = vcpu.area.get('cr3');
  const stack: bigint[] = [];
  for (let i = 0; i < STACK_WORDS && registers.rsp !== undefined; i++) {
    const word = vcpu.guest.readU64(BigInt.asUintN(64, registers.rsp + BigInt(i * 8)));
    if (word === undefined) break;
    stack.push(word);
  }
  const code = registers.rip === undefined ? undefined : vcpu.guest.read(registers.rip, 16);
  return { why, registers, stack, code: code ?? new Uint8Array(0) };
}

/** None of a vCPU that the engine has lost. */
function cpuRegisters(vcpu: VirtualCpu): Record<string, bigint> {
  try {
    const { rip, rsp, rflags, cs } = vcpu.engine.getState();
    return { rip, rsp, rflags, cs: BigInt(cs.selector) };
  } catch {
    return {};
  }
}

const hex = (value: bigint) => value.toString(16).padStart(16, '0');

function table(words: readonly string[], perLine: number): string[] {
  const lines: string[] = [];
  for (let i = 0; i < words.length; i += perLine) lines.push(`  ${words.slice(i, i + perLine).join(' ')}`);
  return lines;
}

/** For people: several lines. */
export function formatCrash(report: CrashReport): string {
  const names = ['rip', 'rsp', 'rflags', 'cs', 'ss', 'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp'];
  const rest = ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'cr2', 'cr3', 'vector', 'error_code'];
  const registers = [...names, ...rest]
    .filter((name) => report.registers[name] !== undefined)
    .map((name) => `${name.padStart(10)}=${hex(report.registers[name]!)}`);
  return [
    'registers:',
    ...table(registers, 4),
    'stack:',
    ...(report.stack.length > 0 ? table(report.stack.map(hex), 4) : ['  not readable']),
    `code: ${report.code.length > 0 ? Buffer.from(report.code).toString('hex').replace(/(..)/g, '$1 ').trim() : 'not readable'}`,
  ].join('\n');
}
