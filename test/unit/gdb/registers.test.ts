import { describe, expect, it } from 'vitest';
import {
  decodeRegister,
  decodeRegisters,
  encodeRegister,
  encodeRegisters,
  REGISTERS,
  TARGET_XML,
} from '../../../src/xenner/gdb/registers.js';

const named = (name: string) => REGISTERS.find((register) => register.name === name)!;

describe('registers', () => {
  it('have the numbers that GDB gives to those of an x86-64', () => {
    const numbers = ['rax', 'rbp', 'rsp', 'r8', 'rip', 'eflags', 'cs', 'gs', 'st0', 'fctrl', 'xmm0', 'mxcsr'];
    expect(numbers.map((name) => REGISTERS.indexOf(named(name)))).toEqual([
      0, 6, 7, 8, 16, 17, 18, 23, 24, 32, 40, 56,
    ]);
    expect(new Set(REGISTERS.map(({ name }) => name)).size).toBe(REGISTERS.length);
  });

  it('are sent with the lowest byte first', () => {
    expect(encodeRegister(named('rip'), 0xffffffff80100000n)).toBe('00001080ffffffff');
    expect(encodeRegister(named('cs'), 0xe061n)).toBe('61e00000');
    expect(encodeRegister(named('eflags'), undefined)).toBe('xxxxxxxx');
    expect(encodeRegister(named('st0'), 1n << 79n)).toBe('00000000000000000080');
    expect(encodeRegister(named('rax'), -1n)).toBe('ffffffffffffffff');
  });

  it('come back as they were, but for those that there are not', () => {
    const values = { rax: 1n, rip: 0xffffffff80100000n, eflags: 0x202n, mxcsr: 0x1f80n, efer: 0xd01n };
    expect(decodeRegisters(encodeRegisters(values))).toEqual(values);
    expect(decodeRegisters('')).toEqual({});
    expect(decodeRegisters('0100000000000000')).toEqual({ rax: 1n });
  });

  it.each(['01', 'zz00000000000000', `${encodeRegisters({})}00`, '01000000000000001'])(
    'are not %s',
    (hex) => {
      expect(decodeRegisters(hex)).toBeUndefined();
    },
  );

  it.each(['', '0', '01', '0x00000000000000', '010000000000000000'])('of 64 bits have no value %j', (hex) => {
    expect(decodeRegister(named('rax'), hex)).toBeUndefined();
  });

  it('are all described, in order', () => {
    const described = [...TARGET_XML.matchAll(/<reg name="(\w+)" bitsize="(\d+)"/g)];
    expect(described.map(([, name, bits]) => ({ name, bits: Number(bits) }))).toEqual(
      REGISTERS.map(({ name, bits }) => ({ name, bits })),
    );
  });
});
