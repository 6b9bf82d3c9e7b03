/**
 * Each method of xenner/kvm in each state of its object. Open, it does what it says. With a vCPU in the guest, the machine's do
 * still, but for those that are too late then, and the vCPU's are EBUSY. Closed, it is EBADF. A method that is not here does not
 * compile.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import * as api from '../../src/kvm/api/index.js';
import { Guest, HLT, noKvm, noRealKvm, SPIN } from './kvm-guest.js';

const reason = noKvm();
beforeEach(({ skip }) => skip(reason !== undefined, reason));

const { EventFd, Kvm } = api;
const MIB = 2 ** 20;
const MSR_STAR = 0xc000_0081;
const MSR_KVM_SYSTEM_TIME_NEW = 0x4b56_4d01;
/** Guest-physical; bit 0: in use. */
const KVMCLOCK_AT_0X3000 = 0x3001n;
/** In struct kvm_irqchip. */
const IOAPIC_ID_OFFSET = 20;
const XCR0_X87_SSE = 3n;

const code = (name: string) => expect.objectContaining({ code: expect.stringMatching(`^(${name})$`) });
type Calls<T, Without extends keyof T> = {
  [Method in Exclude<keyof T, Without>]: (object: T, guest: Guest) => unknown;
};

const KVM: Calls<api.Kvm, 'close'> = {
  checkExtension: (kvm) => expect(kvm.checkExtension(api.KVM_CAP_USER_MEMORY)).toBe(1),
  supportedCpuid: (kvm) =>
    expect(kvm.supportedCpuid()).toContainEqual(expect.objectContaining({ function: 1 })),
  emulatedCpuid: (kvm) => expect(kvm.emulatedCpuid()).not.toEqual([]),
  msrIndices: (kvm) => expect(kvm.msrIndices()).toContain(MSR_STAR),
  featureMsrIndices: (kvm) => expect(kvm.featureMsrIndices()).not.toEqual([]),
  featureMsrs: (kvm) => {
    const indices = kvm.featureMsrIndices();
    expect(kvm.featureMsrs(indices).map(({ index }) => index)).toEqual(indices);
  },
  createVm: (kvm) => kvm.createVm().close(),
};

const another = ({ memory }: Guest) => ({ slot: 1, address: MIB, memory });
const bellOf = (event: api.EventFd) => ({ event, address: 0x20, length: 2, port: true, datamatch: 7n });

const VM: Calls<api.KvmVm, 'close' | 'id'> = {
  checkExtension: (vm) => expect(vm.checkExtension(api.KVM_CAP_USER_MEMORY)).toBe(1),
  enableCap: (vm) => vm.enableCap(api.KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1n),
  setMemory: (vm, guest) => vm.setMemory(another(guest)),
  deleteMemory: (vm, guest) => {
    vm.setMemory(another(guest));
    vm.deleteMemory(1);
    expect(() => vm.deleteMemory(1)).toThrow(code('EINVAL|ENOENT'));
  },
  getDirtyLog: (vm, guest) => {
    vm.setMemory({ ...another(guest), logDirtyPages: true });
    expect([...vm.getDirtyLog(1)]).toEqual(new Array(8).fill(0));
  },
  clearDirtyLog: (vm, guest) => {
    vm.enableCap(api.KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1n);
    vm.setMemory({ ...another(guest), logDirtyPages: true });
    vm.clearDirtyLog(1, 0, 16, Buffer.alloc(8, 0xff));
  },
  createIrqchip: (vm) => vm.createIrqchip(),
  createPit2: (vm) => {
    vm.createPit2(api.KVM_PIT_SPEAKER_DUMMY);
    expect(() => vm.createPit2()).toThrow(code('EEXIST'));
  },
  irqLine: (vm) => {
    vm.irqLine(5, true);
    const { chip } = api.kvm_irqchip.decode(vm.getIrqchip(api.KVM_IRQCHIP_PIC_MASTER));
    expect(chip.pic.irr & (1 << 5)).not.toBe(0);
  },
  // The LAPIC is not enabled.
  signalMsi: (vm) => expect(vm.signalMsi(0xfee0_0000n, 0x40)).toBe(false),
  setGsiRouting: (vm) =>
    vm.setGsiRouting([
      { gsi: 4, irqchip: api.KVM_IRQCHIP_IOAPIC, pin: 4 },
      { gsi: 30, address: 0xfee0_0000n, data: 0x40 },
    ]),
  irqfd: (vm) => {
    const [event, resample] = [new EventFd(), new EventFd()];
    vm.irqfd(event, 5, resample);
    expect(() => vm.irqfd(event, 5)).toThrow(code('EBUSY'));
    event.close();
    resample.close();
  },
  removeIrqfd: (vm) => {
    const event = new EventFd();
    for (let i = 0; i < 2; i++) {
      vm.irqfd(event, 5);
      vm.removeIrqfd(event, 5);
    }
    event.close();
  },
  ioeventfd: (vm) => {
    const event = new EventFd();
    vm.ioeventfd(bellOf(event));
    expect(() => vm.ioeventfd(bellOf(event))).toThrow(code('EEXIST'));
    event.close();
  },
  removeIoeventfd: (vm) => {
    const event = new EventFd();
    vm.ioeventfd(bellOf(event));
    vm.removeIoeventfd(bellOf(event));
    expect(() => vm.removeIoeventfd(bellOf(event))).toThrow(code('ENOENT'));
    event.close();
  },
  getIrqchip: (vm) => {
    const bytes = vm.getIrqchip(api.KVM_IRQCHIP_IOAPIC);
    expect(api.kvm_irqchip.decode(bytes).chip.ioapic.base_address).toBe(0xfec0_0000n);
    expect(() => vm.getIrqchip(3)).toThrow(code('EINVAL'));
  },
  setIrqchip: (vm) => {
    const bytes = vm.getIrqchip(api.KVM_IRQCHIP_IOAPIC);
    bytes[IOAPIC_ID_OFFSET] = 3;
    vm.setIrqchip(bytes);
    expect(api.kvm_irqchip.decode(vm.getIrqchip(api.KVM_IRQCHIP_IOAPIC)).chip.ioapic.id).toBe(3);
  },
  getPit2: (vm) => expect(vm.getPit2().channels).toHaveLength(3),
  setPit2: (vm) => {
    const state = vm.getPit2();
    state.channels[2]!.count = 1000;
    vm.setPit2(state);
    expect(vm.getPit2().channels[2]!.count).toBe(1000);
  },
  reinjectControl: (vm) => vm.reinjectControl(false),
  getClock: (vm) => {
    const { clock } = vm.getClock();
    expect(vm.getClock().clock).toBeGreaterThanOrEqual(clock);
  },
  setClock: (vm) => {
    vm.setClock({ clock: 10n ** 18n });
    expect(vm.getClock().clock).toBeGreaterThanOrEqual(10n ** 18n);
  },
  setTssAddr: (vm) => vm.setTssAddr(0xfffb_d000),
  setIdentityMapAddr: (vm) => vm.setIdentityMapAddr(0xfeff_c000),
  setBootCpuId: (vm) => vm.setBootCpuId(1),
  setMsrFilter: (vm) => {
    const range = { flags: api.KVM_MSR_FILTER_READ, base: 0x1200, nmsrs: 64, bitmap: new Uint8Array(8) };
    vm.setMsrFilter(api.KVM_MSR_FILTER_DEFAULT_ALLOW, [range]);
    expect(() => vm.setMsrFilter(api.KVM_MSR_FILTER_DEFAULT_ALLOW, [{ ...range, nmsrs: 65 }])).toThrow(
      code('EINVAL'),
    );
  },
  registerCoalescedMmio: (vm) => vm.registerCoalescedMmio(0xf_8000n, 8),
  unregisterCoalescedMmio: (vm) => {
    vm.registerCoalescedMmio(0x20n, 1, true);
    vm.unregisterCoalescedMmio(0x20n, 1, true);
  },
  createVcpu: (vm) => expect(vm.createVcpu(2).index).toBe(2),
};

/** Only before there is a vCPU. */
const TOO_LATE: Partial<Record<keyof typeof VM, string>> = {
  createIrqchip: 'EEXIST|EINVAL',
  setIdentityMapAddr: 'EINVAL',
  setBootCpuId: 'EBUSY',
};

function supportedCpuid() {
  const kvm = new Kvm();
  const leaves = kvm.supportedCpuid();
  kvm.close();
  return leaves;
}

// `answer`, `requestInterruptWindow` and `readyForInterruptInjection` are in the page, and no calls of KVM's.
const VCPU: Calls<
  api.KvmVcpu,
  | ('close' | 'native' | 'id' | 'index' | 'page')
  | ('answer' | 'requestInterruptWindow' | 'readyForInterruptInjection')
> = {
  run: (vcpu) => expect(vcpu.run()).toEqual({ exit_reason: 'KVM_EXIT_HLT' }),
  runAsync: async (vcpu) => expect(await vcpu.runAsync()).toEqual({ exit_reason: 'KVM_EXIT_HLT' }),
  completeIo: (vcpu) => expect(vcpu.completeIo()).toEqual({ exit_reason: 'KVM_EXIT_INTR' }),
  getRegs: (vcpu) => expect(vcpu.getRegs().rsp).toBe(0x8000n),
  setRegs: (vcpu) => {
    vcpu.setRegs({ r9: 5n });
    expect(vcpu.getRegs()).toMatchObject({ r9: 5n, rsp: 0x8000n });
  },
  getSregs: (vcpu) => expect(vcpu.getSregs().cs.selector).toBe(0),
  setSregs: (vcpu) => {
    vcpu.setSregs({ cr2: 5n });
    expect(vcpu.getSregs()).toMatchObject({ cr2: 5n, cs: { selector: 0 } });
  },
  getSregs2: (vcpu) => expect(vcpu.getSregs2().cs.selector).toBe(0),
  setSregs2: (vcpu) => {
    vcpu.setSregs2({ cr2: 5n });
    expect(vcpu.getSregs2()).toMatchObject({ cr2: 5n, cs: { selector: 0 } });
  },
  getFpu: (vcpu) => expect(vcpu.getFpu().xmm).toHaveLength(16),
  setFpu: (vcpu) => {
    vcpu.setFpu({ fcw: 0x27f });
    expect(vcpu.getFpu()).toMatchObject({ fcw: 0x27f, ftwx: 0 });
  },
  getXcrs: (vcpu) => expect(vcpu.getXcrs()).toMatchObject({ nr_xcrs: 1 }),
  setXcrs: (vcpu) => {
    vcpu.setCpuid2(supportedCpuid());
    const { xcrs } = vcpu.getXcrs();
    xcrs[0]!.value = XCR0_X87_SSE;
    vcpu.setXcrs({ xcrs });
    expect(vcpu.getXcrs().xcrs[0]).toEqual({ xcr: 0, value: XCR0_X87_SSE });
  },
  getDebugregs: (vcpu) => expect(vcpu.getDebugregs().db).toHaveLength(4),
  setDebugregs: (vcpu) => {
    vcpu.setDebugregs({ db: [1n, 2n, 3n, 4n] });
    expect(vcpu.getDebugregs()).toMatchObject({ db: [1n, 2n, 3n, 4n], dr6: 0xffff0ff0n });
  },
  getVcpuEvents: (vcpu) => expect(vcpu.getVcpuEvents().nmi.pending).toBe(0),
  setVcpuEvents: (vcpu) => {
    const { flags, nmi } = vcpu.getVcpuEvents();
    vcpu.setVcpuEvents({ flags, nmi: { ...nmi, masked: 1 } });
    expect(vcpu.getVcpuEvents().nmi.masked).toBe(1);
  },
  getLapic: (vcpu) => expect(vcpu.getLapic()).toHaveLength(1024),
  setLapic: (vcpu) => {
    const regs = vcpu.getLapic();
    regs[0x80] = 0x20; // the task priority register
    vcpu.setLapic(regs);
    expect(vcpu.getLapic()[0x80]).toBe(0x20);
  },
  getXsave: (vcpu) => expect(vcpu.getXsave().length).toBeGreaterThanOrEqual(4096),
  setXsave: (vcpu) => vcpu.setXsave(vcpu.getXsave()),
  getMpState: (vcpu) => expect(vcpu.getMpState()).toBe(api.KVM_MP_STATE_RUNNABLE),
  setMpState: (vcpu) => vcpu.setMpState(api.KVM_MP_STATE_RUNNABLE),
  getMsrs: (vcpu) => expect(vcpu.getMsrs([MSR_STAR])).toEqual([{ index: MSR_STAR, data: 0n }]),
  setMsrs: (vcpu) => {
    expect(vcpu.setMsrs([{ index: MSR_STAR, data: 5n }])).toBe(1);
    expect(vcpu.getMsrs([MSR_STAR])).toEqual([{ index: MSR_STAR, data: 5n }]);
  },
  setCpuid2: (vcpu) => {
    const leaves = supportedCpuid();
    vcpu.setCpuid2(leaves);
    expect(vcpu.getCpuid2()).toHaveLength(leaves.length);
  },
  getCpuid2: (vcpu) => expect(vcpu.getCpuid2()).toEqual([]),
  interrupt: (vcpu) => {
    vcpu.interrupt(0x20);
    expect(vcpu.getVcpuEvents().interrupt).toMatchObject({ injected: 1, nr: 0x20 });
  },
  nmi: (vcpu) => {
    vcpu.nmi();
    expect(vcpu.getVcpuEvents().nmi.pending).toBe(1);
  },
  enableCap: (vcpu) => vcpu.enableCap(api.KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1n),
  translate: (vcpu) => expect(vcpu.translate(5n)).toMatchObject({ physical_address: 5n, valid: 1 }),
  setGuestDebug: (vcpu) => vcpu.setGuestDebug({ control: 0 }),
  setSignalMask: (vcpu) => {
    vcpu.setSignalMask(0n);
    vcpu.setSignalMask(undefined);
  },
  getTscKhz: (vcpu) => expect(vcpu.getTscKhz()).toBeGreaterThan(1000),
  setTscKhz: (vcpu) => vcpu.setTscKhz(vcpu.getTscKhz()),
  getTscOffset: (vcpu) => expect(typeof vcpu.getTscOffset()).toBe('bigint'),
  setTscOffset: (vcpu) => {
    vcpu.setTscOffset(2n ** 63n);
    // Those that interpret take it, and leave it at that.
    if (noRealKvm() === undefined) expect(vcpu.getTscOffset()).toBe(2n ** 63n);
  },
  kvmclockCtrl: (vcpu) => {
    expect(vcpu.setMsrs([{ index: MSR_KVM_SYSTEM_TIME_NEW, data: KVMCLOCK_AT_0X3000 }])).toBe(1);
    vcpu.kvmclockCtrl();
  },
};

/** The chips that a method needs, or may not have: they come before any vCPU. */
function prepare(vm: api.KvmVm, method: string): void {
  if (method in VM ? method !== 'createIrqchip' : /Lapic$/.test(method)) vm.createIrqchip();
  if (/Pit2|reinject/.test(method) && method !== 'createPit2') vm.createPit2();
}
const guestOf = (hex: string | string[], method: string) => new Guest(hex, (vm) => prepare(vm, method));

describe('Kvm', () => {
  it.each(Object.entries(KVM))('%s', (_, call) => {
    const kvm = new Kvm();
    call(kvm, undefined as never);
    kvm.close();
    expect(() => call(kvm, undefined as never)).toThrow(code('EBADF'));
  });
});

describe('KvmVm', () => {
  it.each(Object.entries(VM))('%s', async (method, call) => {
    const idle = guestOf(method in TOO_LATE ? [] : [HLT], method);
    call(idle.vm, idle);
    idle.vm.close();
    expect(() => call(idle.vm, idle)).toThrow(code('EBADF'));

    const running = guestOf(SPIN, method);
    const exit = running.vcpu.runAsync();
    const late = TOO_LATE[method as keyof typeof VM];
    if (late === undefined) call(running.vm, running);
    else expect(() => call(running.vm, running)).toThrow(code(late));
    api.kickVcpu(running.vcpu.id);
    expect(await exit).toEqual({ exit_reason: 'KVM_EXIT_INTR' });
  });
});

describe('KvmVcpu', () => {
  it.each(Object.entries(VCPU))('%s', async (method, call) => {
    const guest = guestOf(HLT, method);
    await call(guest.vcpu, guest);
  });

  it('is busy while it is in the guest, and refuses all when it is closed', async () => {
    const guest = new Guest(SPIN);
    const { vcpu } = guest;
    const refused = async (errno: string) => {
      for (const [method, call] of Object.entries(VCPU)) {
        const attempt = async () => call(vcpu, guest);
        await expect(attempt(), method).rejects.toThrow(code(errno));
      }
    };
    const exit = vcpu.runAsync();
    await refused('EBUSY');
    api.kickVcpu(vcpu.id);
    expect(await exit).toEqual({ exit_reason: 'KVM_EXIT_INTR' });
    vcpu.close();
    await refused('EBADF');
  });

  it('closed, its page takes what is written to it, and nobody reads that', () => {
    const { vcpu } = new Guest(HLT);
    vcpu.close();
    vcpu.requestInterruptWindow = true;
    vcpu.answer('KVM_EXIT_X86_RDMSR', { data: 5n });
    expect(vcpu.readyForInterruptInjection).toBe(false);
  });
});
