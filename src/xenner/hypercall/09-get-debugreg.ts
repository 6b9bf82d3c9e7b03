/** do_get_debugreg (xen/arch/x86/pv/misc-hypercalls.c) and x86emul_read_dr. */
import { ENODEV } from '../abi/errno.js';
import { __HYPERVISOR_get_debugreg } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { DR7_EMULATED, debugExtensions } from './08-set-debugreg.js';
import type { Hypercall } from './call.js';

function readDebugreg(vcpu: Vcpu, register: number): number | bigint {
  const registers = vcpu.area.words('dr');
  switch (register) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 6:
      return registers[register]!;
    case 4:
      return debugExtensions(vcpu) ? -ENODEV : registers[6]!;
    case 5:
      return debugExtensions(vcpu) ? -ENODEV : readDebugreg(vcpu, 7);
    case 7:
      return registers[7]! | registers[DR7_EMULATED]!;
    default:
      return -ENODEV;
  }
}

export const get_debugreg: Hypercall = {
  number: __HYPERVISOR_get_debugreg,
  name: 'get_debugreg',
  handler: (vcpu, args) => readDebugreg(vcpu, args.s32(0)),
};
