/** A 64-bit guest of a few instructions: 2 MiB mapped one to one for every ring, its own GDT, TSS and IDT. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAddon, type NativeSoftVcpu } from '../../src/kvm/addon.js';
import {
  type CpuidEntry,
  type CpuState,
  decodeCpuState,
  encodeCpuState,
  GuestMemory,
  gpa,
} from '../../src/kvm/index.js';
import { encodeCpuid } from '../../src/kvm/soft-engine.js';

export const EXIT_PORT = 0x10;
export const CODE = 0x10000;
/** Free for data of the test. */
export const DATA = 0x20000;
/** Not mapped: the second 2 MiB. */
export const HOLE = 0x200000;

const PML4 = 0x1000;
const PDPT = 0x2000;
const PD = 0x3000;
const GDT = 0x4000;
const IDT = 0x5000;
const TSS = 0x6000;
export const STACK = 0x9000;
const USER_STACK = 0xb000;
const MEMORY_BYTES = 4 * 2 ** 20;

const KERNEL_CS = 0x08;
const KERNEL_DS = 0x10;
const USER_DS = 0x23;
const USER_CS = 0x2b;
const TR = 0x30;

/** Code of ring 3 begins with this; what ring 0 pushes for it. */
export const TO_USER = `
  pushq $${USER_DS}; pushq $${USER_STACK}; pushq $0x202; pushq $${USER_CS}
  lea user(%rip), %rax; push %rax; iretq`;

/** GNU assembler's text at CODE. */
export function assemble(source: string): { code: Uint8Array; symbols: Map<string, number> } {
  const directory = mkdtempSync(join(tmpdir(), 'xenner-guest-'));
  const file = (name: string) => join(directory, name);
  try {
    writeFileSync(file('guest.s'), `${source}\n`);
    execFileSync('as', ['--64', '-o', file('guest.o'), file('guest.s')]);
    const link = (output: string, ...options: string[]) =>
      execFileSync('ld', [
        '-e',
        '0',
        `-Ttext=0x${CODE.toString(16)}`,
        ...options,
        '-o',
        file(output),
        file('guest.o'),
      ]);
    link('guest.elf');
    link('guest.bin', '--oformat=binary');
    const names = execFileSync('nm', [file('guest.elf')], { encoding: 'utf8' });
    const symbols = [...names.matchAll(/^([0-9a-f]+) \w (\w+)$/gm)].map(
      ([, value, name]) => [name!, Number.parseInt(value!, 16)] as const,
    );
    return { code: new Uint8Array(readFileSync(file('guest.bin'))), symbols: new Map(symbols) };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The addon's vCPU, with its state as objects. */
class TinyVcpu {
  readonly id: number;

  constructor(readonly native: NativeSoftVcpu) {
    this.id = native.id;
  }

  run = () => this.native.run();
  wait = (timeoutNs: number) => this.native.wait(timeoutNs);
  setTimer = (deadlineNs: number) => this.native.setTimer(deadlineNs);
  inject = (vector: number) => this.native.inject(vector);
  getState = () => decodeCpuState(this.native.getState());
  setState = (state: CpuState) => this.native.setState(encodeCpuState(state));
  setCpuid = (entries: readonly CpuidEntry[]) => this.native.setCpuid(encodeCpuid(entries));
  invalidate = (address: number, length: number) => this.native.invalidate(address, length);
  close = () => this.native.close();
}

export class TinyGuest {
  readonly memory = GuestMemory.create(MEMORY_BYTES);
  readonly vcpu: TinyVcpu;
  readonly symbols: Map<string, number>;

  /** Starts at the first instruction, ring 0, IF=0. A symbol `vector_N` becomes the handler of vector N (callable from ring 3). */
  constructor(source: string) {
    const { SoftVcpu } = loadAddon();
    this.vcpu = new TinyVcpu(
      new SoftVcpu!(this.memory.native, EXIT_PORT, new Uint8Array(this.memory.size / 4096)),
    );
    const { code, symbols } = assemble(source);
    this.symbols = symbols;
    this.memory.copyIn(gpa(CODE), code);
    this.#buildTables();
    this.vcpu.setState(this.initialState());
  }

  initialState(): CpuState {
    const data = { selector: KERNEL_DS, base: 0n, limit: 0xffffffff, flags: 0xc09300 };
    return {
      ...this.vcpu.getState(),
      ...{ rip: BigInt(CODE), rsp: BigInt(STACK), rflags: 2n },
      ...{ cr0: 0x80050033n, cr3: BigInt(PML4), cr4: 0x620n, efer: 0xd01n },
      star: (BigInt(KERNEL_CS) << 32n) | (BigInt(KERNEL_DS | 3) << 48n),
      cs: { selector: KERNEL_CS, base: 0n, limit: 0xffffffff, flags: 0xa09b00 },
      ...{ ss: data, ds: data, es: data, fs: data, gs: data },
      tr: { selector: TR, base: BigInt(TSS), limit: 0x67, flags: 0x8b00 },
      gdt: { base: BigInt(GDT), limit: TR + 15 },
      idt: { base: BigInt(IDT), limit: 256 * 16 - 1 },
    };
  }

  /** Address of a label. */
  at(name: string): number {
    const value = this.symbols.get(name);
    if (value === undefined) throw new Error(`no label ${name}`);
    return value;
  }

  close(): void {
    this.vcpu.close();
    this.memory.close();
  }

  #buildTables(): void {
    const write = (address: number, value: bigint) => this.memory.writeU64(gpa(address), value);
    write(PML4, BigInt(PDPT | 7));
    write(PDPT, BigInt(PD | 7));
    write(PD, 0x87n);
    write(GDT + KERNEL_CS, 0x00af9b000000ffffn);
    write(GDT + KERNEL_DS, 0x00cf93000000ffffn);
    write(GDT + (USER_DS & ~7), 0x00cff3000000ffffn);
    write(GDT + (USER_CS & ~7), 0x00affb000000ffffn);
    write(GDT + TR, 0x00008b0000000067n | (BigInt(TSS) << 16n));
    write(TSS + 4, BigInt(STACK));
    // An I/O permission map beyond the limit: ring 3 has no port.
    this.memory.writeU16(gpa(TSS + 102), 104);
    for (const [name, address] of this.symbols) {
      const vector = /^vector_(\d+)$/.exec(name)?.[1];
      if (vector === undefined) continue;
      const gate = BigInt(address & 0xffff) | (BigInt(KERNEL_CS) << 16n) | (0xee00n << 32n);
      write(IDT + 16 * Number(vector), gate | (BigInt(address >>> 16) << 48n));
    }
  }
}
