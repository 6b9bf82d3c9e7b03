/** do_vm_assist (xen/common/domain.c). */
import { EINVAL, ENOSYS } from '../abi/errno.js';
import * as abi from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import type { Hypercall } from './call.js';

/** PV64_VM_ASSIST_MASK: the first four mean nothing to a 64-bit guest, but asking for them has never failed. */
const VALID: ReadonlySet<number> = new Set([
  abi.VMASST_TYPE_4gb_segments,
  abi.VMASST_TYPE_4gb_segments_notify,
  abi.VMASST_TYPE_writable_pagetables,
  abi.VMASST_TYPE_pae_extended_cr3,
  abi.VMASST_TYPE_architectural_iopl,
  abi.VMASST_TYPE_runstate_update_flag,
  abi.VMASST_TYPE_m2p_strict,
]);

function assist({ domain }: Vcpu, cmd: number, type: number): number {
  if (!VALID.has(type)) return -EINVAL;
  const bit = 1n << BigInt(type);
  if (cmd === abi.VMASST_CMD_enable) domain.vmAssist |= bit;
  else if (cmd === abi.VMASST_CMD_disable) domain.vmAssist &= ~bit;
  else return -ENOSYS;
  domain.area.set('vm_assist', domain.vmAssist);
  return 0;
}

export const vm_assist: Hypercall = {
  number: abi.__HYPERVISOR_vm_assist,
  name: 'vm_assist',
  handler: (vcpu, args) => assist(vcpu, args.u32(0), args.u32(1)),
};
