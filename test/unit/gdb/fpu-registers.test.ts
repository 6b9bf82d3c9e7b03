import { describe, expect, it } from 'vitest';
import { fpuRegisters, isFpuRegister, setFpuRegister } from '../../../src/xenner/gdb/fpu-registers.js';
import { REGISTERS } from '../../../src/xenner/gdb/registers.js';

/** FNINIT, FLD1, FLDZ, then MXCSR and xmm15: what FXSAVE of a CPU gives. */
function state(): Uint8Array {
  const bytes = new Uint8Array(512);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x37f, true);
  view.setUint16(2, 6 << 11, true);
  bytes[4] = 0b1100_0000;
  view.setUint32(24, 0x1f80, true);
  // st0 is the zero, st1 the one.
  view.setBigUint64(48, 1n << 63n, true);
  view.setUint16(56, 0x3fff, true);
  view.setBigUint64(160 + 15 * 16, 0x1122334455667788n, true);
  return bytes;
}

describe('FPU and SSE registers', () => {
  it('are read from what FXSAVE stores', () => {
    const values = fpuRegisters(state());
    expect(values).toMatchObject({ fctrl: 0x37fn, fstat: 0x3000n, mxcsr: 0x1f80n, st0: 0n });
    expect(values.st1).toBe((0x3fffn << 64n) | (1n << 63n));
    expect(values.xmm15).toBe(0x1122334455667788n);
    // Registers 6 and 7 are in use: 6 is st0, a zero, and 7 is st1, valid.
    expect(values.ftag).toBe(0x1fffn);
  });

  it('go back to where they came from', () => {
    const before = fpuRegisters(state());
    const bytes = new Uint8Array(512);
    for (const [name, value] of Object.entries(before)) expect(setFpuRegister(bytes, name, value)).toBe(true);
    expect(bytes).toEqual(state());
  });

  it('take no MXCSR that FXRSTOR would refuse', () => {
    const bytes = state();
    expect(setFpuRegister(bytes, 'mxcsr', 0x10000n)).toBe(false);
    expect(bytes).toEqual(state());
  });

  it('are all there, and no others', () => {
    const shown = REGISTERS.map(({ name }) => name).filter(isFpuRegister);
    expect(shown.sort()).toEqual(Object.keys(fpuRegisters(state())).sort());
    expect(shown).toHaveLength(8 + 8 + 16 + 1);
  });
});
