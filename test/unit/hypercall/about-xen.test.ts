/** xen_version, console_io and vm_assist. */
import { afterEach, describe, expect, it } from 'vitest';
import { MAX_CONSOLE_IO_BYTES } from '../../../src/base/limits.js';
import { E2BIG, EFAULT, EINVAL, ENOSYS, EPERM } from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/version.js';
import { xen_version } from '../../../src/xenner/hypercall/17-xen-version.js';
import { console_io } from '../../../src/xenner/hypercall/18-console-io.js';
import { vm_assist } from '../../../src/xenner/hypercall/21-vm-assist.js';
import { BAD_POINTERS, type Guest, guests, READ_ONLY_VA, UNMAPPED_VA } from './guest.js';
import { va } from './harness.js';

const { open, closeAll } = guests();
afterEach(closeAll);

function bytes(guest: Guest, at: bigint, length: number): string {
  return Buffer.from(guest.vcpus[0]!.guest.read(at, length)!).toString('latin1');
}

describe('xen_version', () => {
  /** Memory full of 'x' before the call, so that what it leaves alone shows. */
  function text(cmd: number, length: number): { result: number; text: string } {
    const guest = open();
    const at = guest.room(2048);
    guest.vcpus[0]!.guest.write(at, Buffer.alloc(2048, 'x'));
    return { result: guest.result(xen_version, [cmd, at]), text: bytes(guest, at, length + 1) };
  }
  const padded = (value: string, length: number) => `${value.padEnd(length, '\0')}x`;

  it('is 4.17', () => {
    expect(open().result(xen_version, [abi.XENVER_version, 0])).toBe(0x40011);
  });
  it.each([
    ['extraversion', abi.XENVER_extraversion, abi.XEN_EXTRAVERSION_LEN, '.0-xenner'],
    ['capabilities', abi.XENVER_capabilities, abi.XEN_CAPABILITIES_INFO_LEN, 'xen-3.0-x86_64 '],
    ['changeset', abi.XENVER_changeset, abi.XEN_CHANGESET_INFO_LEN, 'xenner'],
    ['commandline', abi.XENVER_commandline, 9, '<denied>'],
  ])('%s fills its array and no more', (_name, cmd, length, value) => {
    expect(text(cmd, length)).toEqual({ result: 0, text: padded(value, length) });
  });
  it('names its compiler', () => {
    const guest = open();
    const at = guest.room(256);
    expect(guest.result(xen_version, [abi.XENVER_compile_info, at])).toBe(0);
    expect(guest.get(abi.xen_compile_info, at)).toMatchObject({
      compiler: 'TypeScript',
      compile_by: 'xenner',
    });
  });
  it('says where it lives', () => {
    const guest = open();
    const at = guest.room(8);
    expect(guest.result(xen_version, [abi.XENVER_platform_parameters, at])).toBe(0);
    expect(guest.get(abi.xen_platform_parameters, at).virt_start).toBe(0xffff800000000000n);
  });
  it('gives the handle', () => {
    const guest = open();
    const at = guest.room(16);
    expect(guest.result(xen_version, [abi.XENVER_guest_handle, at])).toBe(0);
    expect(guest.vcpus[0]!.guest.read(at, 16)).toEqual(guest.domain.handle);
  });
  it('has pages of 4096 bytes, and no argument for that', () => {
    expect(open().result(xen_version, [abi.XENVER_pagesize, 0])).toBe(4096);
    expect(open().result(xen_version, [abi.XENVER_pagesize, va(0)])).toBe(-EINVAL);
  });
  it('has features: one submap', () => {
    const guest = open();
    const ask = (submap_idx: number) => {
      const at = guest.put(abi.xen_feature_info, { submap_idx, submap: 0xffffffff });
      return [
        guest.result(xen_version, [abi.XENVER_get_features, at]),
        guest.get(abi.xen_feature_info, at).submap,
      ];
    };
    // pae_pgdir_above_4gb, preserve_ad, highmem_assist, gnttab_map_avail_bits, vnode, direct_mapped
    expect([ask(0), ask(1)]).toEqual([
      [0, 0x220f0],
      [-EINVAL, 0xffffffff],
    ]);
  });
  it.each([
    [abi.XENVER_build_id, -EPERM],
    [11, -ENOSYS],
    [-1, -ENOSYS],
  ])('operation %i: %i', (cmd, expected) => {
    expect(open().result(xen_version, [cmd, va(0)])).toBe(expected);
  });
  it.each([1, 2, 3, 4, 5, 6, 8, 9])('operation %i on what cannot be written', (cmd) => {
    const guest = open();
    expect([...BAD_POINTERS, READ_ONLY_VA].map((at) => guest.result(xen_version, [cmd, at]))).toEqual(
      [...BAD_POINTERS, READ_ONLY_VA].map(() => -EFAULT),
    );
  });
});

describe('console_io', () => {
  const WRITE = 0;
  const READ = 1;
  it('writes bytes as they are', () => {
    const guest = open();
    const at = guest.room(64);
    guest.vcpus[0]!.guest.write(at, Buffer.from('one\0two\xff\n', 'latin1'));
    expect(guest.result(console_io, [WRITE, 9, at])).toBe(0);
    expect(guest.console.join('')).toBe('one\0two\xff\n');
  });
  it('writes what can be read and then fails', () => {
    const guest = open();
    expect(guest.result(console_io, [WRITE, 4097, va(511 * 4096)])).toBe(-EFAULT);
    expect(guest.console.join('')).toBe('\0'.repeat(4096));
  });
  it.each([
    ['nothing, anywhere', [WRITE, 0, UNMAPPED_VA], 0],
    ['a length of 32 bits', [WRITE, 2n ** 32n, UNMAPPED_VA], 0],
    ['too much', [WRITE, MAX_CONSOLE_IO_BYTES + 1, va(0)], -E2BIG],
    ['from nowhere', [WRITE, 1, UNMAPPED_VA], -EFAULT],
    ['reading', [READ, 1, va(0)], -EPERM],
    ['anything else', [2, 0, 0], -EPERM],
    ['a negative command', [-1, 0, 0], -EPERM],
  ])('%s', (_name, args, expected) => {
    expect(open().result(console_io, args as (number | bigint)[])).toBe(expected);
  });
});

describe('vm_assist', () => {
  const ENABLE = 0;
  const DISABLE = 1;
  it('sets and clears a bit, for the monitor too', () => {
    const guest = open();
    expect([guest.result(vm_assist, [ENABLE, 2]), guest.result(vm_assist, [ENABLE, 32])]).toEqual([0, 0]);
    expect([guest.domain.vmAssist, guest.domain.area.get('vm_assist')]).toEqual([0x100000004n, 0x100000004n]);
    expect(guest.result(vm_assist, [DISABLE, 2])).toBe(0);
    expect([guest.domain.vmAssist, guest.domain.area.get('vm_assist')]).toEqual([0x100000000n, 0x100000000n]);
  });
  it.each([0, 1, 2, 3, 4, 5, 32])('knows type %i', (type) => {
    expect(open().result(vm_assist, [ENABLE, type])).toBe(0);
  });
  it.each([6, 31, 33, 63, 64, 0xffffffff])('does not know type %i', (type) => {
    expect(open().result(vm_assist, [ENABLE, type])).toBe(-EINVAL);
    expect(open().result(vm_assist, [2, type])).toBe(-EINVAL);
  });
  it('has two commands', () => {
    expect(open().result(vm_assist, [2, 2])).toBe(-ENOSYS);
  });
});
