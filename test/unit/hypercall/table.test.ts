/** The table: what it refuses to hold, and what happens to a call on its way through it. */
import { afterEach, describe, expect, it } from 'vitest';
import { createLogger, type Topic } from '../../../src/base/log.js';
import { ENOSYS } from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/xen.js';
import { type Hypercall, HypercallArgs } from '../../../src/xenner/hypercall/call.js';
import { HypercallTable, hypercallName } from '../../../src/xenner/hypercall/registry.js';
import { dispatch, hypercalls } from '../../../src/xenner/hypercall/table.js';
import { type Guest, guests, HOLE_VA, UNMAPPED_VA } from './guest.js';
import { va } from './harness.js';

const { open, closeAll } = guests();
afterEach(closeAll);

function make(number: number, name: string, handler: Hypercall['handler'] = () => 0): Hypercall {
  return { number, name, handler };
}

/** A guest, and the lines that its domain logged. */
function logged(topics: readonly Topic[] = []) {
  const lines: Array<Record<string, unknown>> = [];
  const guest = open();
  guest.domain.log = createLogger(topics, { write: (line) => void lines.push(JSON.parse(line)) });
  return { guest, vcpu: guest.vcpus[0]!, lines };
}

function words(...values: bigint[]): HypercallArgs {
  const args = new HypercallArgs();
  args.words.set(values);
  return args;
}

describe('registration', () => {
  it('refuses a number twice', () => {
    expect(() => new HypercallTable([make(3, 'stack_switch'), make(3, 'stack_switch')])).toThrow('twice');
  });
  it.each([
    [3, 'set_gdt'],
    [11, 'no_such_call'],
    [63, 'iret'],
  ])('refuses %i as %s', (number, name) => {
    expect(() => new HypercallTable([make(number, name)])).toThrow(`hypercall ${number} is`);
  });
});

describe('the domU table', () => {
  const all = Object.entries(abi).filter(([name]) => name.startsWith('__HYPERVISOR_'));
  const absent = all.filter(([, number]) => hypercalls.lookup(number as number) === undefined);
  it('has every call but those that no architecture of ours has', () => {
    expect(absent.map(([name]) => name)).toEqual(
      [1, 2, 3, 4, 5, 6, 7].map((number) => `__HYPERVISOR_arch_${number}`),
    );
  });
  it.each(all)('knows the name of %s', (name, number) => {
    expect(hypercallName(number as number)).toBe(name.slice('__HYPERVISOR_'.length));
  });
});

describe('dispatch', () => {
  it('answers -ENOSYS to what is not there and says so once', () => {
    const { vcpu, lines } = logged();
    const unknown = [abi.__HYPERVISOR_arch_5, abi.__HYPERVISOR_arch_5, 11, 11, 64, 0xffffffff, Number.NaN];
    for (const number of unknown) expect(dispatch(vcpu, number, words())).toBe(-ENOSYS);
    expect(lines.map((line) => line.msg)).toEqual([
      'hypercall arch_5 is not implemented',
      'hypercall 11 is not implemented',
    ]);
  });
  it('traces name, arguments as they were, and result', () => {
    const { vcpu, lines } = logged(['hypercall']);
    const table = new HypercallTable([
      make(3, 'stack_switch', (_vcpu, args) => {
        args.words.fill(0n);
        return 2n ** 63n + 1n;
      }),
    ]);
    expect(table.dispatch(vcpu, 3, words(1n, 2n ** 64n - 1n))).toBe(2n ** 63n + 1n);
    expect(lines).toMatchObject([
      {
        topic: 'hypercall',
        msg: 'stack_switch',
        vcpu: 0,
        args: ['0x1', '0xffffffffffffffff', '0x0', '0x0', '0x0', '0x0'],
        result: '9223372036854775809',
      },
    ]);
  });
  it('traces nothing unasked', () => {
    const { vcpu, lines } = logged(['evtchn']);
    expect(dispatch(vcpu, abi.__HYPERVISOR_stack_switch, words(0n, 0x1000n))).toBe(0);
    expect(lines).toEqual([]);
  });
  it('lets our own bug through', () => {
    const { vcpu } = logged();
    const table = new HypercallTable([
      make(3, 'stack_switch', () => {
        throw new TypeError('a bug');
      }),
    ]);
    expect(() => table.dispatch(vcpu, 3, words())).toThrow('a bug');
  });
});

describe('arguments', () => {
  const args = words(0xffffffff_80000001n, 2n ** 53n - 1n, 2n ** 53n);
  it('are cut as C cuts them', () => {
    expect([args.u64(0), args.u32(0), args.s32(0)]).toEqual([0xffffffff_80000001n, 0x80000001, -0x7fffffff]);
  });
  it('are numbers up to 2^53 - 1', () => {
    expect([args.number(1), args.number(2)]).toEqual([2 ** 53 - 1, Number.NaN]);
  });
  it('come from halves, low first', () => {
    const loaded = new HypercallArgs();
    loaded.load(
      Uint32Array.from({ length: 16 }, (_, i) => i),
      2,
    );
    expect(loaded.words).toEqual(
      BigUint64Array.from({ length: 6 }, (_, i) => BigInt(2 * i + 2) | (BigInt(2 * i + 3) << 32n)),
    );
  });
});

describe('any call with any arguments', () => {
  const SCRATCH = 64;
  const SCRATCH_BYTES = 64 * 1024;
  /** xorshift32: the same bytes every time. */
  function fillScratch(guest: Guest, seed: number, small: boolean): void {
    const words = new Uint32Array(SCRATCH_BYTES / 4);
    let x = seed;
    for (let i = 0; i < words.length; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      // Small numbers get past more checks: ports, orders, frames, counts.
      words[i] = small ? (x >>> 0) % (i % 2 === 0 ? 1100 : 2) : x;
    }
    guest.memory.copyIn(guest.frame(SCRATCH), new Uint8Array(words.buffer));
  }
  const pointers = [
    0n,
    va(SCRATCH * 4096),
    va(SCRATCH * 4096 + 12),
    va(511 * 4096 + 4090),
    HOLE_VA,
    UNMAPPED_VA,
  ];
  const values = [...pointers, 1n, 3n, 0x7ff0n, 2n ** 31n, 2n ** 63n, 2n ** 64n - 1n];

  function callAll(guest: Guest, number: number): void {
    for (const rest of values) {
      for (let at = 0; at < 6; at++) {
        for (const value of values) {
          const args = words(...new Array<bigint>(6).fill(rest));
          args.words[at] = value;
          const result = dispatch(guest.vcpus[0]!, number, args);
          expect(['number', 'bigint']).toContain(typeof result);
        }
      }
    }
    for (let cmd = 0n; cmd < 64n; cmd++)
      for (const pointer of pointers)
        for (const count of [1n, 3n, pointer])
          dispatch(guest.vcpus[0]!, number, words(cmd, pointer, count, 0x7ff0n, pointer, pointer));
  }

  const numbers = Array.from({ length: 64 }, (_, number) => number);
  it.each(numbers)('%i answers', (number) => {
    const guest = open({ vcpus: 2 });
    for (const [seed, small] of [
      [1, true],
      [2, true],
      [3, false],
    ] as const) {
      fillScratch(guest, seed, small);
      callAll(guest, number);
    }
  });
});
