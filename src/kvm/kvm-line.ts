/** Interrupts for the vCPUs of a machine of KVM, from any thread, and without stopping the vCPU. */
import { loadAddon } from './addon.js';
import type { Line } from './engine.js';
import { kvm_msi } from './uapi/vm.js';

const MSI_ADDRESS = 0xfee00000;
const APIC_ID_SHIFT = 12;

/** Where a message to the local APIC of one vCPU goes; the message is the vector. */
export function msiAddress(vcpu: number): number {
  return (MSI_ADDRESS | (vcpu << APIC_ID_SHIFT)) >>> 0;
}

/** @param id Machine.lineId */
export function openLine(id: number): Line {
  const vm = loadAddon().KvmVm.attach(id);
  return {
    inject(vcpu, vector) {
      try {
        vm.signalMsi(kvm_msi.create({ address_lo: msiAddress(vcpu), data: vector }));
      } catch (error) {
        // The machine is closed: nobody is left to be interrupted.
        if ((error as NodeJS.ErrnoException).code !== 'EBADF') throw error;
      }
    },
    close: () => vm.close(),
  };
}
