/** A vCPU's state goes in and comes out; interrupts and event descriptors reach the guest and come from it. */
import { beforeEach, describe, expect, it } from 'vitest';
import * as kvm from '../../src/kvm/api/index.js';
import { gpa } from '../../src/kvm/index.js';
import { CODE, Guest, HLT, noKvm, noRealKvm } from './kvm-guest.js';

const reason = noKvm();
const notReal = noRealKvm();
beforeEach(({ skip }) => skip(reason !== undefined, reason));

const { Kvm, EventFd } = kvm;

describe('state', () => {
  it('registers: what is not given stays', () => {
    const { vcpu } = new Guest(HLT);
    vcpu.setRegs({ rax: 0xfedc_ba98_7654_3210n, r15: 2n ** 64n - 1n });
    vcpu.setRegs({ rbx: 1n });
    expect(vcpu.getRegs()).toMatchObject({ rax: 0xfedc_ba98_7654_3210n, rbx: 1n, r15: 2n ** 64n - 1n });
    expect(vcpu.getRegs().rip).toBe(BigInt(CODE));
    vcpu.setSregs({ ds: { base: 0x50n, selector: 5 } });
    expect(vcpu.getSregs().ds).toMatchObject({ base: 0x50n, selector: 5, limit: 0xffff, present: 1 });
  });

  it('FPU, XSAVE area, debug registers', () => {
    const { vcpu } = new Guest(HLT);
    const xmm = vcpu.getFpu().xmm;
    xmm[3] = new Uint8Array(16).fill(0xa5);
    vcpu.setFpu({ fcw: 0x27f, xmm });
    expect(vcpu.getFpu()).toMatchObject({ fcw: 0x27f, xmm });
    const area = vcpu.getXsave();
    expect(area.length).toBeGreaterThanOrEqual(4096);
    // XMM3 is at 160 + 3 * 16 of the legacy region; XSTATE_BV says which parts are there.
    area[208] = 0x5a;
    area[512] = area[512]! | 3;
    vcpu.setXsave(area);
    expect(vcpu.getFpu().xmm[3]![0]).toBe(0x5a);
    expect(vcpu.getXsave()[208]).toBe(0x5a);
    vcpu.setDebugregs({ db: [1n, 2n, 3n, 4n] });
    expect(vcpu.getDebugregs().db).toEqual([1n, 2n, 3n, 4n]);
  });

  it('CPUID, MSRs, events, multiprocessing state, TSC', () => {
    const system = new Kvm();
    const leaves = system.supportedCpuid();
    expect(leaves.length).toBeGreaterThan(5);
    expect(system.msrIndices()).toContain(0xc000_0082);
    system.close();
    const { vcpu } = new Guest(HLT);
    vcpu.setCpuid2(leaves);
    expect(vcpu.getCpuid2()).toHaveLength(leaves.length);
    const msrs = [
      { index: 0xc000_0081, data: 0x0023_0010_0000_0000n },
      { index: 0xc000_0082, data: 0x1000n },
    ];
    expect(vcpu.setMsrs(msrs)).toBe(2);
    expect(vcpu.getMsrs([0xc000_0081, 0xc000_0082])).toEqual(msrs);
    // KVM stops at the first that it does not know.
    expect(vcpu.getMsrs([0xc000_0082, 0x4321_4321, 0xc000_0081])).toHaveLength(1);
    const events = vcpu.getVcpuEvents();
    expect(events.exception.injected).toBe(0);
    vcpu.setVcpuEvents(events);
    expect(vcpu.getMpState()).toBe(kvm.KVM_MP_STATE_RUNNABLE);
    expect(vcpu.getTscKhz()).toBeGreaterThan(1000);
    expect(vcpu.translate(0x1234n)).toMatchObject({ physical_address: 0x1234n, valid: 1 });
  });

  it('single steps are KVM_EXIT_DEBUG', ({ skip }) => {
    skip(notReal !== undefined, notReal);
    const { vcpu } = new Guest('90 90 90 f4');
    vcpu.setGuestDebug({ control: kvm.KVM_GUESTDBG_ENABLE | kvm.KVM_GUESTDBG_SINGLESTEP });
    for (let i = 1; i <= 3; i++) {
      expect(vcpu.run()).toMatchObject({ exit_reason: 'KVM_EXIT_DEBUG', arch: { pc: BigInt(CODE + i) } });
    }
  });

  it('MSRs that are filtered are exits, and answered', ({ skip }) => {
    // mov $0x1234, %ecx; rdmsr; out %eax, $16; hlt
    const guest = new Guest('66b9 34120000 0f32 66e7 10 f4');
    skip(guest.vm.checkExtension(kvm.KVM_CAP_X86_USER_SPACE_MSR) === 0, 'no KVM_CAP_X86_USER_SPACE_MSR');
    guest.vm.enableCap(kvm.KVM_CAP_X86_USER_SPACE_MSR, BigInt(kvm.KVM_MSR_EXIT_REASON_FILTER));
    const range = { flags: kvm.KVM_MSR_FILTER_READ, base: 0x1200, nmsrs: 64, bitmap: new Uint8Array(8) };
    guest.vm.setMsrFilter(kvm.KVM_MSR_FILTER_DEFAULT_ALLOW, [range]);
    expect(guest.vcpu.run()).toMatchObject({ exit_reason: 'KVM_EXIT_X86_RDMSR', index: 0x1234 });
    guest.vcpu.answer('KVM_EXIT_X86_RDMSR', { data: 0x55n });
    const exit = guest.vcpu.run();
    expect(exit.exit_reason === 'KVM_EXIT_IO' && exit.data[0]).toBe(0x55);
  });
});

/** Vector 12 is line 4 of the first PIC, once it is set up so; its handler writes 1 to port 16 and ends the interrupt. */
const HANDLER = 0x1800;
/** The LAPIC delivers none below 16. */
const MSI_VECTOR = 0x40;
const WITH_PIC = [
  'b011 e620 b008 e621 b004 e621 b001 e621', // ICW1 to ICW4: edges, vectors from 8, a slave at line 2, 8086
  'b0ef e621', //                                all lines masked but 4
  'fb f4 ebfd', //                               sti; hlt; jmp to the hlt
].join('');
const HANDLER_CODE = 'b001 e610 b020 e620 cf'; // mov $1, %al; out %al, $16; EOI; iret

function interruptGuest(code: string): Guest {
  const guest = new Guest(code, (vm) => vm.createIrqchip());
  guest.memory.writeU32(gpa(4 * 12), HANDLER);
  guest.memory.copyIn(gpa(HANDLER), Buffer.from(HANDLER_CODE.replaceAll(' ', ''), 'hex'));
  return guest;
}

const TOLD = { exit_reason: 'KVM_EXIT_IO', port: 16 };
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('events', () => {
  it('KVM_IRQ_LINE and an irqfd wake the guest', async ({ skip }) => {
    skip(notReal !== undefined, notReal);
    const guest = interruptGuest(WITH_PIC);
    let exit = guest.vcpu.runAsync();
    await sleep(100);
    guest.vm.irqLine(4, true);
    expect(await exit).toMatchObject(TOLD);
    guest.vm.irqLine(4, false);
    const event = new EventFd();
    guest.vm.irqfd(event, 4);
    for (let i = 0; i < 5; i++) {
      exit = guest.vcpu.runAsync();
      await sleep(20);
      event.signal();
      expect(await exit).toMatchObject(TOLD);
    }
    guest.vm.removeIrqfd(event, 4);
    event.close();
  });

  it('KVM_SIGNAL_MSI and a routed irqfd reach the LAPIC', async ({ skip }) => {
    skip(notReal !== undefined, notReal);
    const guest = interruptGuest('fb f4 ebfd');
    guest.memory.writeU32(gpa(4 * MSI_VECTOR), HANDLER);
    const lapic = guest.vcpu.getLapic();
    lapic[0xf1] = 1; // spurious vector register: the LAPIC is enabled
    guest.vcpu.setLapic(lapic);
    let exit = guest.vcpu.runAsync();
    await sleep(100);
    expect(guest.vm.signalMsi(0xfee0_0000n, MSI_VECTOR)).toBe(true);
    expect(await exit).toMatchObject(TOLD);
    // The handler ends it at the PIC; the LAPIC's own end of interrupt is done from here.
    guest.vcpu.completeIo();
    const regs = guest.vcpu.getLapic();
    regs.fill(0, 0x100, 0x180);
    guest.vcpu.setLapic(regs);
    const event = new EventFd();
    guest.vm.setGsiRouting([{ gsi: 30, address: 0xfee0_0000n, data: MSI_VECTOR }]);
    guest.vm.irqfd(event, 30);
    exit = guest.vcpu.runAsync();
    await sleep(50);
    event.signal();
    expect(await exit).toMatchObject(TOLD);
    event.close();
  });

  it('KVM_INTERRUPT injects a vector without an irqchip, when the window opens', ({ skip }) => {
    skip(notReal !== undefined, notReal);
    const guest = new Guest('90 fb 90 90 f4'); // nop; sti; nop; nop; hlt
    guest.memory.writeU32(gpa(4 * 12), HANDLER);
    guest.memory.copyIn(gpa(HANDLER), Buffer.from(HANDLER_CODE.replaceAll(' ', ''), 'hex'));
    guest.vcpu.requestInterruptWindow = true;
    expect(guest.vcpu.run().exit_reason).toBe('KVM_EXIT_IRQ_WINDOW_OPEN');
    expect(guest.vcpu.readyForInterruptInjection).toBe(true);
    guest.vcpu.requestInterruptWindow = false;
    guest.vcpu.interrupt(12);
    expect(guest.vcpu.run()).toMatchObject(TOLD);
  });

  it('an ioeventfd takes writes of one value, and they are no exits', async () => {
    // mov $7, %al; out %al, $16; out %al, $16; mov $8, %al; out %al, $16; hlt
    const guest = new Guest('b007 e610 e610 b008 e610 f4');
    const event = new EventFd();
    const io = { event, address: 16, length: 1, port: true, datamatch: 7n };
    guest.vm.ioeventfd(io);
    expect(() => guest.vm.ioeventfd(io)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    const exit = guest.vcpu.run();
    expect(exit.exit_reason === 'KVM_EXIT_IO' && exit.data[0]).toBe(8);
    expect(event.take()).toBe(2);
    guest.vm.removeIoeventfd(io);
    expect(() => guest.vm.removeIoeventfd(io)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    guest.vcpu.setRegs({ rip: BigInt(CODE) });
    expect(guest.vcpu.run()).toMatchObject(TOLD);
    event.close();
  });
});
