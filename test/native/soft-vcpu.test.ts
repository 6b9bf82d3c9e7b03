/** The addon's soft vCPU: exits, state, interrupts, CPUID, code that the host writes, and its ends. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gpa, hasSoftCpu, kick, VCPU_EXIT } from '../../src/kvm/index.js';
import { assemble, CODE, DATA, EXIT_PORT, HOLE, TinyGuest, TO_USER } from './tiny-guest.js';

beforeEach(({ skip }) => skip(!hasSoftCpu(), 'this build has no soft CPU'));

const open: TinyGuest[] = [];
afterEach(() => {
  for (const guest of open.splice(0)) guest.close();
});
function start(source: string): TinyGuest {
  const guest = new TinyGuest(source);
  open.push(guest);
  return guest;
}
const rip = (guest: TinyGuest) => Number(guest.vcpu.getState().rip);

describe('exits', () => {
  it('PORT: after the instruction, every time, of every size', () => {
    const guest = start(`
      mov $1, %ebx
      again: out %al, $${EXIT_PORT}
      one: out %eax, $${EXIT_PORT}
      two: mov $${EXIT_PORT}, %edx; out %ax, %dx
      three: inc %ebx; jmp again`);
    for (let round = 1; round <= 3; round++) {
      for (const label of ['one', 'two', 'three']) {
        expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
        expect(rip(guest)).toBe(guest.at(label));
      }
      expect(guest.vcpu.getState().rbx).toBe(BigInt(round));
    }
  });

  it('no exit for another port: OUT is lost, IN gives ones', () => {
    const guest = start(`
      xor %eax, %eax; xor %ebx, %ebx; xor %ecx, %ecx
      out %al, $0x11; in $0x60, %al; mov %rax, %rbx
      xor %eax, %eax; mov $0x1f0, %edx; in %dx, %ax; mov %rax, %rcx
      xor %eax, %eax; in %dx, %eax
      out %al, $${EXIT_PORT}`);
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
    const { rax, rbx, rcx } = guest.vcpu.getState();
    expect([rbx, rcx, rax]).toEqual([0xffn, 0xffffn, 0xffffffffn]);
  });

  it('no exit for ring 3: a port is a general protection fault', () => {
    const guest = start(`${TO_USER}
      vector_13: mov (%rsp), %rbx; mov 8(%rsp), %rcx; out %al, $${EXIT_PORT}
      user: out %al, $${EXIT_PORT}`);
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
    const { rbx, rcx, cs } = guest.vcpu.getState();
    expect([rbx, rcx, cs.selector]).toEqual([0n, BigInt(guest.at('user')), 8]);
  });

  it('HLT: behind the instruction; running again goes on', () => {
    const guest = start(`hlt; behind: out %al, $${EXIT_PORT}`);
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.HLT);
    expect(rip(guest)).toBe(guest.at('behind'));
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
  });

  it('SHUTDOWN: an exception with an empty IDT', () => {
    const guest = start('ud2');
    guest.vcpu.setState({ ...guest.initialState(), idt: { base: 0n, limit: 0 } });
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.SHUTDOWN);
  });
});

describe('state', () => {
  it('comes back as it was set', () => {
    const guest = start('hlt');
    const segment = (n: number, flags: number) => ({
      selector: 8 * n,
      base: BigInt(n) << 32n,
      limit: n << 12,
      flags,
    });
    const state = {
      ...guest.initialState(),
      ...{ rax: 1n, rcx: 2n, rdx: 3n, rbx: 4n, rsp: 5n, rbp: 6n, rsi: 7n, rdi: 2n ** 64n - 1n },
      ...{
        r8: 8n,
        r9: 9n,
        r10: 10n,
        r11: 11n,
        r12: 12n,
        r13: 13n,
        r14: 14n,
        r15: 15n,
        rip: 0x1234n,
        rflags: 0x246n,
      },
      ...{
        cr2: 0xffff800000001234n,
        star: 0x23001000000000n,
        lstar: 0xffffffff81000000n,
        cstar: 0xffffffff81001000n,
      },
      ...{ sfmask: 0x47700n, kernelGsBase: 0xffff888000000000n },
      ...{
        es: segment(21, 0xc0f300),
        ds: segment(22, 0xc0f300),
        fs: segment(23, 0xc0f300),
        gs: segment(24, 0xc0f300),
      },
      ldtr: segment(25, 0x8200),
      ...{
        gdt: { base: 0xffff820000000000n, limit: 0xffff },
        idt: { base: 0xffff830000000000n, limit: 0xfff },
      },
      ...{ dr0: 0x1000n, dr1: 0x2000n, dr2: 0x3000n, dr3: 0x4000n, dr6: 0xffff0ff1n, dr7: 0x400n },
      ...{ xcr0: 3n, tscOffset: 2n ** 64n - 12345n },
    };
    guest.vcpu.setState(state);
    expect(guest.vcpu.getState()).toEqual(state);
  });

  it('of a new vCPU: FPU and SSE as after reset', () => {
    const guest = start(`
      mov %cr0, %rax; and $~8, %rax; mov %rax, %cr0
      fnstcw ${DATA}; stmxcsr ${DATA + 4}; fnstenv ${DATA + 8}
      out %al, $${EXIT_PORT}`);
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
    expect(guest.memory.readU16(gpa(DATA))).toBe(0x37f);
    expect(guest.memory.readU32(gpa(DATA + 4))).toBe(0x1f80);
    expect(guest.memory.readU16(gpa(DATA + 16))).toBe(0xffff);
  });

  it('of FPU and SSE: what FXSAVE stores is what getFpu gives, and setFpu brings it back', () => {
    const guest = start(`
      mov %cr0, %rax; and $~8, %rax; mov %rax, %cr0
      fldpi; fld1; movl $0x3f80, ${DATA}; ldmxcsr ${DATA}
      mov $0x1234, %eax; cvtsi2sd %eax, %xmm9; divsd %xmm9, %xmm9
      fxsaveq ${DATA + 64}; out %al, $${EXIT_PORT}
      fninit; xorps %xmm9, %xmm9; movl $0x1f80, ${DATA}; ldmxcsr ${DATA}; out %al, $${EXIT_PORT}
      fxsaveq ${DATA + 1024}; out %al, $${EXIT_PORT}`);
    const { native } = guest.vcpu;
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
    const state = native.getFpu();
    // Not the last instruction and operand, which TCG's own FXSAVE leaves out, nor what is reserved.
    const telling = (area: Uint8Array) => [...area.subarray(0, 6), ...area.subarray(24, 416)];
    const stored = (at: number) => guest.memory.copyOut(gpa(at), 512);
    expect(telling(state)).toEqual(telling(stored(DATA + 64)));
    guest.vcpu.run();
    expect(native.getFpu()).not.toEqual(state);
    native.setFpu(state);
    guest.vcpu.run();
    expect(telling(stored(DATA + 1024))).toEqual(telling(state));
  });

  it('that no CPU accepts is EINVAL, and nothing changes', () => {
    const guest = start('hlt');
    const before = guest.vcpu.getState();
    // Long mode active without paging.
    expect(() => guest.vcpu.setState({ ...before, cr0: 0x11n, rax: 99n })).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
    expect(guest.vcpu.getState()).toEqual(before);
  });
});

describe('inject', () => {
  const loop = (body: string) => `
      xor %ebx, %ebx
      again: ${body}; out %al, $${EXIT_PORT}; jmp again
      vector_64: inc %ebx; iretq
      vector_65: add $256, %ebx; iretq`;
  const taken = (guest: TinyGuest) => Number(guest.vcpu.getState().rbx);

  it('waits for IF, and is taken once', () => {
    const guest = start(loop('nop'));
    guest.vcpu.run();
    guest.vcpu.inject(64);
    guest.vcpu.inject(64);
    guest.vcpu.run();
    expect(taken(guest)).toBe(0);
    guest.vcpu.setState({ ...guest.vcpu.getState(), rflags: 0x202n });
    guest.vcpu.run();
    expect(taken(guest)).toBe(1);
    guest.vcpu.run();
    expect(taken(guest)).toBe(1);
  });

  it('two vectors are both taken', () => {
    const guest = start(loop('sti; nop; nop; cli'));
    guest.vcpu.inject(64);
    guest.vcpu.inject(65);
    for (let i = 0; i < 4; i++) guest.vcpu.run();
    expect(taken(guest)).toBe(257);
  });

  it('wakes a halted guest when it runs again', () => {
    const guest = start(loop('sti; hlt; cli'));
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.HLT);
    guest.vcpu.inject(64);
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
    expect(taken(guest)).toBe(1);
  });

  it.each([-1, 256, 0.5, Number.NaN])('vector %d is EINVAL', (vector) => {
    expect(() => start('hlt').vcpu.inject(vector)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
});

describe('cpuid', () => {
  const ask = (guest: TinyGuest, leaf: number, subleaf: number) => {
    guest.vcpu.setState({
      ...guest.initialState(),
      ...{ rax: BigInt(leaf), rcx: BigInt(subleaf), rbx: 2n ** 64n - 1n, rdx: 2n ** 64n - 1n },
    });
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
    const { rax, rbx, rcx, rdx } = guest.vcpu.getState();
    return [rax, rbx, rcx, rdx].map(Number);
  };

  it('answers from the table: a subleaf, every subleaf, nothing', () => {
    const guest = start(`cpuid; out %al, $${EXIT_PORT}`);
    guest.vcpu.setCpuid([
      { function: 0, eax: 0xd, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0xffffffff },
      { function: 4, index: 1, eax: 1, ebx: 2, ecx: 3, edx: 4 },
      { function: 0x80000001, index: 0, eax: 5, ebx: 6, ecx: 7, edx: 8 },
    ]);
    expect(ask(guest, 0, 0)).toEqual([0xd, 0x756e6547, 0x6c65746e, 0xffffffff]);
    expect(ask(guest, 0, 77)).toEqual([0xd, 0x756e6547, 0x6c65746e, 0xffffffff]);
    expect(ask(guest, 4, 1)).toEqual([1, 2, 3, 4]);
    expect(ask(guest, 4, 2)).toEqual([0, 0, 0, 0]);
    expect(ask(guest, 0x80000001, 0)).toEqual([5, 6, 7, 8]);
    expect(ask(guest, 0x40000000, 0)).toEqual([0, 0, 0, 0]);
  });

  it('has a bound', () => {
    const entries = Array.from({ length: 257 }, (_, i) => ({ function: i, eax: 0, ebx: 0, ecx: 0, edx: 0 }));
    const { vcpu } = start('hlt');
    vcpu.setCpuid(entries.slice(1));
    expect(() => vcpu.setCpuid(entries)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
});

describe('memory', () => {
  it('code that the host replaces runs anew after invalidate()', () => {
    const guest = start(`again: mov $1, %ebx; out %al, $${EXIT_PORT}; jmp again`);
    for (let value = 1; value < 20; value++) {
      const { code } = assemble(`again: mov $${value}, %ebx; out %al, $${EXIT_PORT}; jmp again`);
      guest.memory.copyIn(gpa(CODE), code);
      guest.vcpu.invalidate(gpa(CODE), code.length);
      for (let i = 0; i < 3; i++) guest.vcpu.run();
      expect(guest.vcpu.getState().rbx).toBe(BigInt(value));
    }
  });

  it.each([
    [-1, 1],
    [0, 4 * 2 ** 20 + 1],
    [4 * 2 ** 20, 1],
    [2 ** 53, 1],
  ])('invalidate(%d, %d) outside is EINVAL', (address, length) => {
    expect(() => start('hlt').vcpu.invalidate(gpa(address), length)).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });

  it('what is not mapped is a page fault of the guest', () => {
    const guest = start(`
      mov $${HOLE + 0x123}, %esi; insn: mov (%rsi), %eax
      vector_14: mov (%rsp), %rbx; mov 8(%rsp), %rcx; out %al, $${EXIT_PORT}`);
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
    const { rbx, rcx, cr2 } = guest.vcpu.getState();
    expect([rbx, rcx, cr2]).toEqual([0n, BigInt(guest.at('insn')), BigInt(HOLE + 0x123)]);
  });
});

it('two at once do not disturb each other', () => {
  const guests = [1, 2].map((n) => start(`again: add $${n}, %ebx; out %al, $${EXIT_PORT}; jmp again`));
  for (const guest of guests) guest.vcpu.setState({ ...guest.initialState(), rbx: 0n });
  for (let i = 0; i < 1000; i++) for (const guest of guests) guest.vcpu.run();
  expect(guests.map((guest) => Number(guest.vcpu.getState().rbx))).toEqual([1000, 2000]);
});

describe('closed', () => {
  it('is idempotent; everything else throws EBADF; kicks are ignored', () => {
    const guest = start('hlt');
    const { vcpu } = guest;
    const state = vcpu.getState();
    vcpu.setTimer(1e18);
    vcpu.close();
    vcpu.close();
    const calls: Array<() => unknown> = [
      () => vcpu.run(),
      () => vcpu.inject(1),
      () => vcpu.wait(0),
      () => vcpu.setTimer(0),
      () => vcpu.getState(),
      () => vcpu.setState(state),
      () => vcpu.setCpuid([]),
      () => vcpu.invalidate(gpa(0), 1),
    ];
    for (const call of calls) expect(call, String(call)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    kick(vcpu.id);
  });

  it('memory first: the vCPU keeps it', () => {
    const guest = start(`mov $7, %ebx; out %al, $${EXIT_PORT}`);
    guest.memory.close();
    expect(guest.vcpu.run()).toBe(VCPU_EXIT.PORT);
    expect(guest.vcpu.getState().rbx).toBe(7n);
  });
});
