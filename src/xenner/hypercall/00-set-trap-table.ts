/** do_set_trap_table (xen/arch/x86/pv/callback.c): the virtual IDT, as a list that ends with address 0. */
import { MAX_TRAP_TABLE_ENTRIES } from '../../base/limits.js';
import { trap_info } from '../abi/arch-x86.js';
import { E2BIG, EFAULT, EINVAL } from '../abi/errno.js';
import { __HYPERVISOR_set_trap_table } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { isCanonical } from './addresses.js';
import type { Hypercall } from './call.js';
import { clearTraps, setTrap } from './callbacks.js';

function setTable(vcpu: Vcpu, table: bigint): number {
  if (table === 0n) {
    clearTraps(vcpu);
    return 0;
  }
  // As in Xen, entries before a bad one stay.
  for (let i = 0; i < MAX_TRAP_TABLE_ENTRIES; i++) {
    const entry = vcpu.guest.readStruct(trap_info, table + BigInt(i * trap_info.size));
    if (entry === undefined) return -EFAULT;
    if (entry.address === 0n) return 0;
    if (!isCanonical(entry.address)) return -EINVAL;
    setTrap(vcpu, entry.vector, entry.cs, entry.flags, entry.address);
  }
  return -E2BIG;
}

export const set_trap_table: Hypercall = {
  number: __HYPERVISOR_set_trap_table,
  name: 'set_trap_table',
  handler: (vcpu, args) => setTable(vcpu, args.u64(0)),
};
