/** Small 16-bit guests for the tests of xenner/kvm. */
import { afterEach } from 'vitest';
import { Kvm, type KvmVcpu, type KvmVm } from '../../src/kvm/api/index.js';
import { GuestMemory, gpa, probeKvm } from '../../src/kvm/index.js';
import { addonWorker, endOf, messageOf } from '../native/addon-worker.js';

export const CODE = 0x1000;
export const MEMORY_BYTES = 1 << 16;

/** Machine code, 16-bit. */
export const SPIN = 'eb fe'; // jmp .
export const OUT_FOREVER = 'e6 10 eb fc'; // out %al, $0x10; jmp .-2
export const HLT = 'f4';

/** Why there is no KVM of any kind; undefined when there is. */
export function noKvm(): string | undefined {
  try {
    new Kvm().close();
    return undefined;
  } catch (error) {
    return `no KVM: ${(error as Error).message}`;
  }
}

/** Why KVM is not the hardware's (some interpret the guest, and not all of it); undefined when it is. */
export function noRealKvm(): string | undefined {
  const { usable, reason } = probeKvm();
  return usable ? undefined : `no KVM of the hardware's: ${reason}`;
}

/**
 * Another thread kicks once a round, a little later each time, and again only when `takeKick` has returned: a kick that is
 * lost stops both.
 */
export async function kickedRounds(id: number, rounds: number, takeKick: () => void): Promise<void> {
  const shared = new Int32Array(new SharedArrayBuffer(4));
  const source = `
    const { id, shared, rounds } = workerData;
    parentPort.postMessage('ready');
    for (let i = 1; i <= rounds; i++) {
      while (Atomics.load(shared, 0) !== i) Atomics.wait(shared, 0, i - 1, 1);
      for (let spin = (i * 7919) % 20000; spin > 0; spin--);
      addon.kickVcpu(id);
    }`;
  const worker = addonWorker(source, { id, shared, rounds });
  await messageOf(worker);
  for (let i = 1; i <= rounds; i++) {
    Atomics.store(shared, 0, i);
    Atomics.notify(shared, 0);
    takeKick();
  }
  await endOf(worker);
}

export class Guest {
  readonly memory = GuestMemory.create(MEMORY_BYTES);
  readonly vm: KvmVm;
  readonly vcpus: KvmVcpu[];

  /** Every vCPU begins with its own code, given in hexadecimal, 256 bytes apart. */
  constructor(code: string | string[], prepare: (vm: KvmVm) => void = () => {}) {
    const kvm = new Kvm();
    this.vm = kvm.createVm();
    kvm.close();
    this.vm.setTssAddr(0xfffb_d000);
    prepare(this.vm);
    this.vm.setMemory({ slot: 0, address: 0, memory: this.memory });
    this.vcpus = [code].flat().map((hex, index) => {
      const at = CODE + 256 * index;
      this.memory.copyIn(gpa(at), Buffer.from(hex.replaceAll(' ', ''), 'hex'));
      const vcpu = this.vm.createVcpu(index);
      vcpu.setSregs({ cs: { base: 0n, selector: 0 } });
      vcpu.setRegs({ rip: BigInt(at), rsp: 0x8000n, rflags: 2n });
      return vcpu;
    });
    open.push(this);
  }

  get vcpu(): KvmVcpu {
    return this.vcpus[0]!;
  }

  close(): void {
    this.vm.close();
    this.memory.close();
  }
}

const open: Guest[] = [];
afterEach(() => {
  for (const guest of open.splice(0)) guest.close();
});
