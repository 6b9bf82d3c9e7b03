/** KVM runs guests: every way in and out, on any KVM there is. */
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import * as kvm from '../../src/kvm/api/index.js';
import { gpa } from '../../src/kvm/index.js';
import { addonWorker, endOf } from '../native/addon-worker.js';
import { CODE, Guest, HLT, kickedRounds, noKvm, noRealKvm, OUT_FOREVER, SPIN } from './kvm-guest.js';

const reason = noKvm();
const notReal = noRealKvm();
beforeEach(({ skip }) => skip(reason !== undefined, reason));

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const code = (name: string) => expect.objectContaining({ code: name });

describe('exits', () => {
  it('KVM_EXIT_IO: what the guest writes, and what it reads is what was answered', () => {
    const { vcpu } = new Guest('b0 5a e6 10 ed ef f4'); // mov; out %al, $16; in %dx, %ax; out %ax, %dx; hlt
    vcpu.setRegs({ rdx: 0x1234n });
    expect(vcpu.run()).toMatchObject({ direction: 'out', size: 1, port: 0x10, count: 1 });
    const input = vcpu.run();
    expect(input).toMatchObject({ exit_reason: 'KVM_EXIT_IO', direction: 'in', size: 2, port: 0x1234 });
    if (input.exit_reason === 'KVM_EXIT_IO') input.data.set([0xcd, 0xab]);
    const output = vcpu.run();
    expect(output.exit_reason === 'KVM_EXIT_IO' && [...output.data]).toEqual([0xcd, 0xab]);
    expect(vcpu.run()).toEqual({ exit_reason: 'KVM_EXIT_HLT' });
  });

  it('KVM_EXIT_MMIO: a read and a write where no memory is', () => {
    // mov $0xf000, %ax; mov %ax, %ds; incw 0x8000: linear 0xf8000
    const { vcpu } = new Guest('b8 00f0 8ed8 ff06 0080 f4');
    const read = vcpu.run();
    expect(read).toMatchObject({ exit_reason: 'KVM_EXIT_MMIO', phys_addr: 0xf8000n, is_write: false });
    if (read.exit_reason === 'KVM_EXIT_MMIO') read.data.set([0xff, 0x01]);
    const write = vcpu.run();
    expect(write).toMatchObject({ phys_addr: 0xf8000n, is_write: true });
    expect(write.exit_reason === 'KVM_EXIT_MMIO' && [...write.data]).toEqual([0x00, 0x02]);
    expect(vcpu.run().exit_reason).toBe('KVM_EXIT_HLT');
  });

  it('none for writes to coalesced memory: they are in the ring', () => {
    // mov $0xf000, %ax; mov %ax, %ds; movb $7, 0x8000; movb $8, 0x8001; hlt
    const { vm, vcpu } = new Guest('b8 00f0 8ed8 c606 0080 07 c606 0180 08 f4');
    vm.registerCoalescedMmio(0xf8000n, 2);
    expect(vcpu.run().exit_reason).toBe('KVM_EXIT_HLT');
    // struct kvm_coalesced_mmio_ring: first, last, then entries of phys_addr, len, pio, data.
    const ring = Buffer.from(vcpu.page.buffer, 2 * 4096);
    expect([ring.readUInt32LE(0), ring.readUInt32LE(4)]).toEqual([0, 2]);
    const entries = [8, 32].map((at) => [ring.readBigUInt64LE(at), ring.readUInt32LE(at + 8), ring[at + 16]]);
    expect(entries).toEqual([
      [0xf8000n, 1, 7],
      [0xf8001n, 1, 8],
    ]);
  });

  it('KVM_EXIT_SHUTDOWN: a triple fault', ({ skip }) => {
    skip(notReal !== undefined, notReal);
    const { vcpu } = new Guest('0f01 1e 0070 cd03'); // lidt 0x7000 (limit 0); int $3
    expect(vcpu.run().exit_reason).toBe('KVM_EXIT_SHUTDOWN');
  });

  it('completeIo(): the instruction is done, no other begins', () => {
    const { vcpu } = new Guest('e4 10 b0 00 f4'); // in $16, %al; mov $0, %al; hlt
    const input = vcpu.run();
    if (input.exit_reason === 'KVM_EXIT_IO') input.data[0] = 0x77;
    expect(vcpu.completeIo()).toEqual({ exit_reason: 'KVM_EXIT_INTR' });
    expect(vcpu.getRegs()).toMatchObject({ rip: BigInt(CODE + 2), rax: 0x77n });
    expect(vcpu.run().exit_reason).toBe('KVM_EXIT_HLT');
  });

  it('runAsync() gives the same exits, and the event loop goes on meanwhile', async () => {
    const { vcpu } = new Guest(`${SPIN} ${HLT}`);
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    const exit = vcpu.runAsync();
    while (turns < 3) await sleep(5);
    clearInterval(timer);
    expect(() => vcpu.run()).toThrow(code('EBUSY'));
    await expect(vcpu.runAsync()).rejects.toThrow(code('EBUSY'));
    kvm.kickVcpu(vcpu.id);
    expect(await exit).toEqual({ exit_reason: 'KVM_EXIT_INTR' });
    vcpu.setRegs({ rip: BigInt(CODE + 2) });
    expect(await vcpu.runAsync()).toEqual({ exit_reason: 'KVM_EXIT_HLT' });
  });
});

describe('kicks', () => {
  it('before a run end it at once, and are one kick together', () => {
    const { vcpu } = new Guest(HLT);
    kvm.kickVcpu(vcpu.id);
    kvm.kickVcpu(vcpu.id);
    expect(vcpu.run().exit_reason).toBe('KVM_EXIT_INTR');
    expect(vcpu.run().exit_reason).toBe('KVM_EXIT_HLT');
  });

  it.each([
    ['a spinning guest', SPIN],
    ['a guest that exits all the time', OUT_FOREVER],
  ])('are never lost: %s', async (_, hex) => {
    const { vcpu } = new Guest(hex);
    // All signals blocked but the kick's, which cannot be.
    vcpu.setSignalMask(2n ** 64n - 1n);
    await kickedRounds(vcpu.id, 300, () => {
      while (vcpu.run().exit_reason !== 'KVM_EXIT_INTR');
    });
  });

  it('of ids that are gone do nothing', () => {
    const { vcpu } = new Guest(HLT);
    vcpu.close();
    kvm.kickVcpu(vcpu.id);
  });
});

describe('close', () => {
  it('of a vCPU rejects its run with EBADF, and its page is zeros', async () => {
    const { vcpu } = new Guest(SPIN);
    const exit = vcpu.runAsync();
    await sleep(20);
    vcpu.close();
    vcpu.close();
    await expect(exit).rejects.toThrow(code('EBADF'));
    expect(vcpu.page.every((byte) => byte === 0)).toBe(true);
  });

  it('of the machine pulls a vCPU out that another thread runs', async () => {
    const { vm } = new Guest(HLT);
    const source = `
      const vm = addon.KvmVm.attach(workerData.id);
      const vcpu = vm.createVcpu(1);
      const sregs = new Uint8Array(312), regs = new Uint8Array(144);
      vcpu.getSregs(sregs);
      sregs.fill(0, 0, 8); sregs.fill(0, 12, 14);
      vcpu.setSregs(sregs);
      new DataView(regs.buffer).setBigUint64(128, 0x1100n, true); new DataView(regs.buffer).setBigUint64(136, 2n, true);
      vcpu.setRegs(regs);
      parentPort.postMessage('running');
      try { for (;;) vcpu.run(); } catch (error) { parentPort.postMessage(error.message); }
      vcpu.close(); vm.close();`;
    const worker = addonWorker(source, { id: vm.id });
    const messages: unknown[] = [];
    worker.on('message', (message) => messages.push(message));
    const end = endOf(worker);
    while (messages.length === 0) await sleep(5);
    await sleep(50);
    vm.close();
    await end;
    expect(messages).toEqual(['running', 'KVM_RUN: vCPU is closed']);
  });

  it('in any order leaves no descriptor and no mapping', () => {
    const look = () => readFileSync('/proc/self/maps', 'utf8').match(/anon_inode:kvm-vcpu/g)?.length ?? 0;
    const before = look();
    const orders = [
      ['memory', 'vm', 'vcpu'],
      ['vcpu', 'vm', 'memory'],
      ['vm', 'memory', 'vcpu'],
      ['memory', 'vcpu', 'vm'],
    ] as const;
    for (const order of orders) {
      const guest = new Guest(HLT);
      for (const part of order) {
        guest[part].close();
        guest[part].close();
      }
    }
    expect(look()).toBe(before);
  });

  it('of the memory leaves the guest running in it', () => {
    const { vcpu, memory } = new Guest(OUT_FOREVER);
    memory.close();
    expect(vcpu.run().exit_reason).toBe('KVM_EXIT_IO');
  });
});

describe('memory slots', () => {
  it('log which pages were written to', () => {
    // mov %al, 0x5000; hlt; mov %al, 0x7000; hlt
    const guest = new Guest('a2 0050 f4 a2 0070 f4');
    guest.vm.deleteMemory(0);
    guest.vm.setMemory({ slot: 3, address: 0, memory: guest.memory, logDirtyPages: true });
    guest.vcpu.run();
    // KVM may count a page that is first touched by a read as well: that of the code.
    const [low, high] = guest.vm.getDirtyLog(3);
    expect([low! & ~(1 << (CODE >> 12)), high]).toEqual([1 << 5, 0]);
    guest.vcpu.run();
    expect([...guest.vm.getDirtyLog(3).subarray(0, 2)]).toEqual([1 << 7, 0]);
  });

  it('keep their log until it is cleared, where that was asked for', () => {
    const guest = new Guest('a2 0050 a2 0070 f4'); // mov %al, 0x5000; mov %al, 0x7000; hlt
    guest.vm.enableCap(kvm.KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1n);
    guest.vm.deleteMemory(0);
    guest.vm.setMemory({ slot: 3, address: 0, memory: guest.memory, logDirtyPages: true });
    guest.vcpu.run();
    const both = (1 << 5) | (1 << 7);
    const look = () => guest.vm.getDirtyLog(3)[0]! & both;
    expect([look(), look()]).toEqual([both, both]);
    guest.vm.clearDirtyLog(3, 0, 16, Buffer.from([1 << 5, 0, 0, 0, 0, 0, 0, 0]));
    expect(look()).toBe(1 << 7);
  });

  it('that are read-only turn writes into exits', () => {
    const guest = new Guest('a2 0050 f4');
    guest.vm.deleteMemory(0);
    guest.vm.setMemory({ slot: 0, address: 0, memory: guest.memory, readonly: true });
    expect(guest.vcpu.run()).toMatchObject({
      exit_reason: 'KVM_EXIT_MMIO',
      phys_addr: 0x5000n,
      is_write: true,
    });
    expect(guest.memory.readU8(gpa(0x5000))).toBe(0);
  });
});
