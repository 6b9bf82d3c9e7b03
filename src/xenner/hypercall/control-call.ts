/** What calls of the control domain have in common: a structure that starts with a command and a version. */
import { EACCES, EFAULT, EPERM } from '../abi/errno.js';
import type { Vcpu } from '../domain/vcpu.js';

const INTERFACE_VERSION_AT = 4;

/** A private copy of the structure, or an errno. */
export function readControlOp(vcpu: Vcpu, arg: bigint, bytes: number, version: number): DataView | number {
  const copy = vcpu.guest.read(arg, bytes);
  if (copy === undefined) return -EFAULT;
  const op = new DataView(copy.buffer);
  return op.getUint32(INTERFACE_VERSION_AT, true) === version ? op : -EACCES;
}

/** Privilege is the last thing that Xen looks at: a caller without it learns of its other mistakes first. */
export function refuseControlOp(vcpu: Vcpu, arg: bigint, bytes: number, version: number): number {
  const op = readControlOp(vcpu, arg, bytes, version);
  return typeof op === 'number' ? op : -EPERM;
}
