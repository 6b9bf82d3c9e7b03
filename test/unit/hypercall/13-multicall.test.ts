/** multicall: order, results in place, and what may not be in a list. */
import { afterEach, describe, expect, it } from 'vitest';
import { MAX_MULTICALL_ENTRIES } from '../../../src/base/limits.js';
import { E2BIG, EFAULT, EINVAL, ENOSYS } from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/xen.js';
import { multicall } from '../../../src/xenner/hypercall/13-multicall.js';
import { dispatch } from '../../../src/xenner/hypercall/table.js';
import { BAD_POINTERS, type Guest, guests, READ_ONLY_VA } from './guest.js';
import { va } from './harness.js';

const { open, closeAll } = guests();
afterEach(closeAll);

interface Entry {
  op: bigint | number;
  args?: readonly (bigint | number)[];
}

function run(guest: Guest, entries: readonly Entry[], call = multicall(dispatch)) {
  const at = guest.putAll(
    abi.multicall_entry,
    entries.map(({ op, args = [] }) => ({ op: BigInt(op), result: 0x55n, args: args.map(BigInt) })),
  );
  const result = guest.result(call, [at, entries.length]);
  const results = entries.map((_, i) => BigInt.asIntN(64, guest.get(abi.multicall_entry, at, i).result));
  return { result, results };
}

it('makes the calls in order and answers in place', () => {
  const guest = open();
  const calls: Array<[number, bigint, bigint]> = [];
  const answers = [7, -EINVAL, 2n ** 63n];
  const call = multicall((_vcpu, number, args) => {
    calls.push([number, args.u64(0), args.u64(5)]);
    return answers.shift()!;
  });
  const entries = [
    { op: 3, args: [1, 2, 3, 4, 5, 6] },
    { op: 2n ** 32n + 3n, args: [2n ** 64n - 1n, 0, 0, 0, 0, 9] },
    { op: 5, args: [8] },
  ];
  expect(run(guest, entries, call)).toEqual({ result: 0, results: [7n, BigInt(-EINVAL), -(2n ** 63n)] });
  expect(calls).toEqual([
    [3, 1n, 6n],
    // A number that is no u32 is nobody's.
    [0xffffffff, 2n ** 64n - 1n, 9n],
    [5, 8n, 0n],
  ]);
});

it('goes on after a call that fails', () => {
  const guest = open();
  const { __HYPERVISOR_stack_switch: stack, __HYPERVISOR_arch_7: absent } = abi;
  expect(run(guest, [{ op: absent }, { op: stack, args: [0, 0x5000] }])).toEqual({
    result: 0,
    results: [BigInt(-ENOSYS), 0n],
  });
  expect(guest.vcpus[0]!.area.get('kernel_sp')).toBe(0x5000n);
});

it('holds neither a list nor an iret', () => {
  const entries = [{ op: abi.__HYPERVISOR_multicall, args: [0, 0] }, { op: abi.__HYPERVISOR_iret }];
  expect(run(open(), entries)).toEqual({ result: 0, results: [BigInt(-EINVAL), BigInt(-ENOSYS)] });
});

describe('a list', () => {
  const call = multicall(() => 0);
  it('may be empty', () => {
    expect(open().result(call, [va(0), 0])).toBe(0);
  });
  it('has a length of 32 bits, and a limit', () => {
    const guest = open();
    const at = guest.room(64);
    expect(guest.result(call, [at, 2n ** 32n])).toBe(0);
    expect(guest.result(call, [at, MAX_MULTICALL_ENTRIES + 1])).toBe(-E2BIG);
    expect(guest.result(call, [at, 0xffffffff])).toBe(-E2BIG);
  });
  it.each(BAD_POINTERS)('at %s cannot be read', (at) => {
    expect(open().result(call, [at, 1])).toBe(-EFAULT);
  });
  it('that cannot be written ends after the first call', () => {
    const calls: number[] = [];
    const counting = multicall((_vcpu, number) => calls.push(number));
    expect(open().result(counting, [READ_ONLY_VA, 2])).toBe(-EFAULT);
    expect(calls).toEqual([0]);
  });
  it('that ends in unmapped memory: the calls before it are made', () => {
    const calls: number[] = [];
    const counting = multicall((_vcpu, number) => calls.push(number));
    expect(open().result(counting, [va(512 * 4096 - 64), 2])).toBe(-EFAULT);
    expect(calls).toEqual([0]);
  });
});
