/** Checks of what the user asks a guest to have, before anything is built. */
import { XennerError } from '../../base/errors.js';
import {
  MAX_CMDLINE_BYTES,
  MAX_GUEST_MEMORY_MIB,
  MAX_VCPUS,
  MIN_GUEST_MEMORY_MIB,
} from '../../base/limits.js';

/** @throws XennerError EMEMORY_RANGE */
export function checkMemoryMiB(memoryMiB: number): void {
  if (Number.isInteger(memoryMiB) && memoryMiB >= MIN_GUEST_MEMORY_MIB && memoryMiB <= MAX_GUEST_MEMORY_MIB)
    return;
  throw new XennerError(
    'EMEMORY_RANGE',
    `a guest cannot have ${memoryMiB} MiB of memory`,
    `give it a whole number from ${MIN_GUEST_MEMORY_MIB} to ${MAX_GUEST_MEMORY_MIB}`,
  );
}

/** @throws XennerError EVCPU_LIMIT */
export function checkVcpus(vcpus: number): void {
  if (Number.isInteger(vcpus) && vcpus >= 1 && vcpus <= MAX_VCPUS) return;
  throw new XennerError(
    'EVCPU_LIMIT',
    `a guest cannot have ${vcpus} vCPUs`,
    `give it a whole number from 1 to ${MAX_VCPUS}`,
  );
}

/** @throws XennerError ECMDLINE */
export function checkCmdline(cmdline: string): void {
  const length = Buffer.byteLength(cmdline);
  if (length > MAX_CMDLINE_BYTES) {
    throw new XennerError(
      'ECMDLINE',
      `the kernel command line has ${length} bytes`,
      `a PV guest takes at most ${MAX_CMDLINE_BYTES}`,
    );
  }
  if (cmdline.includes('\0'))
    throw new XennerError('ECMDLINE', 'the kernel command line contains a NUL byte');
}
