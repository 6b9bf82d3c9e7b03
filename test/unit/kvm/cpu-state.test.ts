/** CpuState and its words. */
import { describe, expect, it } from 'vitest';
import { CPU_STATE_WORDS, decodeCpuState, encodeCpuState } from '../../../src/kvm/cpu-state.js';

/** Every word another value, so that two that change places show. */
const words = BigUint64Array.from({ length: CPU_STATE_WORDS }, (_, i) => BigInt(i + 1));

describe('CPU state', () => {
  it('comes back word for word', () => {
    expect(encodeCpuState(decodeCpuState(words))).toEqual(words);
  });

  it('has the order of native/cpu_state.h', () => {
    const state = decodeCpuState(words);
    const at = (
      name: 'rax' | 'rsp' | 'rdi' | 'r15' | 'rip' | 'rflags' | 'cr0' | 'cr4' | 'efer' | 'kernelGsBase',
    ) => Number(state[name]) - 1;
    expect([at('rax'), at('rsp'), at('rdi'), at('r15'), at('rip'), at('rflags')]).toEqual([
      0, 4, 7, 15, 16, 17,
    ]);
    expect([at('cr0'), at('cr4'), at('efer'), at('kernelGsBase')]).toEqual([18, 21, 22, 27]);
    expect(state.es).toEqual({ selector: 29, base: 30n, limit: 31, flags: 32 });
    expect(state.tr).toEqual({ selector: 57, base: 58n, limit: 59, flags: 60 });
    expect(state.gdt).toEqual({ base: 61n, limit: 62 });
    expect(state.idt).toEqual({ base: 63n, limit: 64 });
    expect([state.dr0, state.dr6, state.dr7, state.xcr0, state.tscOffset]).toEqual([65n, 69n, 70n, 71n, 73n]);
  });

  it('keeps 64 bits', () => {
    const state = decodeCpuState(words);
    state.lstar = 0xffff83ffffe00123n;
    state.fs.base = 2n ** 64n - 1n;
    const again = decodeCpuState(encodeCpuState(state));
    expect(again.lstar).toBe(0xffff83ffffe00123n);
    expect(again.fs.base).toBe(2n ** 64n - 1n);
  });

  it.each([-1, 2 ** 32, 0.5, Number.NaN])('a segment limit of %d is refused', (limit) => {
    const state = decodeCpuState(words);
    state.cs.limit = limit;
    expect(() => encodeCpuState(state)).toThrow(/cs\.limit/);
  });

  it('words of another length are refused', () => {
    expect(() => decodeCpuState(new BigUint64Array(CPU_STATE_WORDS + 1))).toThrow(RangeError);
  });
});
