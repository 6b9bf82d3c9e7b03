/**
 * do_console_io (xen/drivers/char/console.c): a domU may write, as in a Xen built for debugging (xsm_console_io with
 * CONFIG_VERBOSE_DEBUG), and nothing else.
 */
import { MAX_CONSOLE_IO_BYTES } from '../../base/limits.js';
import { E2BIG, EFAULT, EPERM } from '../abi/errno.js';
import { __HYPERVISOR_console_io, CONSOLEIO_write } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import type { Hypercall } from './call.js';

const CHUNK_BYTES = 4096;

function writeConsole(vcpu: Vcpu, count: number, buffer: bigint): number {
  if (count > MAX_CONSOLE_IO_BYTES) return -E2BIG;
  for (let at = 0; at < count; at += CHUNK_BYTES) {
    const text = vcpu.guest.read(buffer + BigInt(at), Math.min(CHUNK_BYTES, count - at));
    if (text === undefined) return -EFAULT;
    vcpu.domain.consoleWrite(text);
  }
  return 0;
}

export const console_io: Hypercall = {
  number: __HYPERVISOR_console_io,
  name: 'console_io',
  handler: (vcpu, args) =>
    args.u32(0) === CONSOLEIO_write ? writeConsole(vcpu, args.u32(1), args.u64(2)) : -EPERM,
};
