/** Calls of control domains, HVM domains and things that this Xen is built without. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  E2BIG,
  EACCES,
  EFAULT,
  EINVAL,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
} from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/xen.js';
import { hypercalls } from '../../../src/xenner/hypercall/table.js';
import { BAD_POINTERS, type Guest, guests, UNMAPPED_VA } from './guest.js';
import { DOMID } from './harness.js';

const { open, closeAll } = guests();
afterEach(closeAll);

/** Little-endian 32-bit words at a fresh place, the rest of 256 bytes zero. */
function words(guest: Guest, ...values: number[]): bigint {
  const bytes = new Uint8Array(256);
  bytes.set(new Uint8Array(Uint32Array.from(values).buffer));
  const at = guest.room(256);
  guest.vcpus[0]!.guest.write(at, bytes);
  return at;
}

function call(number: number, args: (guest: Guest) => readonly (number | bigint)[]): number {
  const guest = open();
  return guest.result(hypercalls.lookup(number)!, args(guest));
}

describe('whatever is asked', () => {
  it.each([
    ['xsm_op', abi.__HYPERVISOR_xsm_op, -ENOSYS],
    ['xenoprof_op', abi.__HYPERVISOR_xenoprof_op, -ENOSYS],
    ['kexec_op', abi.__HYPERVISOR_kexec_op, -EPERM],
    ['tmem_op', abi.__HYPERVISOR_tmem_op, -ENOSYS],
    ['argo_op', abi.__HYPERVISOR_argo_op, -ENOSYS],
    ['xenpmu_op', abi.__HYPERVISOR_xenpmu_op, -EOPNOTSUPP],
    ['hypfs_op', abi.__HYPERVISOR_hypfs_op, -EPERM],
    ['arch_0', abi.__HYPERVISOR_arch_0, -EPERM],
  ])('%s', (_name, number, expected) => {
    expect([0, 1, UNMAPPED_VA].map((value) => call(number, () => [value, value, value]))).toEqual([
      expected,
      expected,
      expected,
    ]);
  });
});

describe('control structures', () => {
  const versions: Array<[string, number, number, number]> = [
    ['platform_op', abi.__HYPERVISOR_platform_op, 0x03000001, 136],
    ['sysctl', abi.__HYPERVISOR_sysctl, 0x15, 136],
    ['domctl', abi.__HYPERVISOR_domctl, 0x15, 144],
  ];
  it.each(versions)('%s: memory, version, privilege', (_name, number, version, bytes) => {
    const pointers = [...BAD_POINTERS, 0xffffffff80200000n - BigInt(bytes) + 1n];
    expect(pointers.map((at) => call(number, () => [at]))).toEqual(pointers.map(() => -EFAULT));
    expect(call(number, (g) => [words(g, 1, version + 1)])).toBe(-EACCES);
    expect(call(number, (g) => [words(g, 1, version)])).toBe(-EPERM);
    expect(call(number, (g) => [words(g, 1, version, 0), 0])).toBe(-EPERM);
  });
  it.each([
    ['a new domain', 1, 55, -EPERM],
    ['itself', 5, DOMID, -EPERM],
    ['domain 0', 5, 0, -EPERM],
    ['DOMID_SELF', 5, 0x7ff0, -ESRCH],
    ['nobody', 5, 55, -ESRCH],
    ['itself, with bits above', 5, 0xffff0000 | DOMID, -EPERM],
  ])('domctl on %s', (_name, cmd, domid, expected) => {
    expect(call(abi.__HYPERVISOR_domctl, (g) => [words(g, cmd, 0x15, domid)])).toBe(expected);
  });
});

describe('hvm_op', () => {
  const hvm = (op: number | bigint, domid = 0x7ff0, index = 0) =>
    call(abi.__HYPERVISOR_hvm_op, (g) => [op, words(g, domid, index)]);
  it.each([
    ['set_param', 0, 0x7ff0, 0, -EINVAL],
    ['get_param', 1, DOMID, 38, -EINVAL],
    ['get_param beyond', 1, 55, 39, -EINVAL],
    ['get_param of nobody', 1, 55, 38, -ESRCH],
    ['flush_tlbs', 5, 0, 0, -EINVAL],
    ['get_time', 10, 0, 0, -ENOSYS],
  ])('%s', (_name, op, domid, index, expected) => {
    expect(hvm(op, domid, index)).toBe(expected);
  });
  it('has 64 bits in its number', () => {
    expect(hvm(2n ** 32n + 1n)).toBe(-ENOSYS);
  });
  it.each(BAD_POINTERS)('at %s', (at) => {
    expect(call(abi.__HYPERVISOR_hvm_op, () => [1, at])).toBe(-EFAULT);
  });
});

describe('dm_op', () => {
  it.each([
    ['itself', 0x7ff0, 1, -EPERM],
    ['itself by number', DOMID, 0, -EPERM],
    ['domain 0, which is no HVM domain', 0, 3, -EINVAL],
    ['nobody', 55, 1, -ESRCH],
    ['four buffers', 0x7ff0, 4, -E2BIG],
    ['very many buffers', 0x7ff0, 0xffffffff, -E2BIG],
  ])('%s', (_name, domid, buffers, expected) => {
    expect(call(abi.__HYPERVISOR_dm_op, (g) => [domid, buffers, words(g, 0)])).toBe(expected);
  });
  it('on buffers that cannot be read', () => {
    expect(call(abi.__HYPERVISOR_dm_op, () => [0, 1, UNMAPPED_VA])).toBe(-EFAULT);
  });
});
