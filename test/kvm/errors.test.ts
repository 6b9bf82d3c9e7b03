/** KVM's classes in the addon against every wrong argument and every wrong moment: an error that names it, never a crash. */
import { beforeEach, describe, expect, it } from 'vitest';
import { loadAddon } from '../../src/kvm/addon.js';
import { EventFd, GuestMemory, Kvm, kickVcpu, kvm_msrs } from '../../src/kvm/api/index.js';
import type { NativeKvmVm } from '../../src/kvm/api/native.js';
import { Guest, HLT, noKvm, SPIN } from './kvm-guest.js';

const addon = loadAddon();
const reason = noKvm();
beforeEach(({ skip }) => skip(reason !== undefined, reason));

const code = (...names: string[]) =>
  expect.objectContaining({ code: expect.stringMatching(new RegExp(`^(${names.join('|')})$`)) });
type Method = (...args: unknown[]) => unknown;

/** Everything but these two is called. */
function methodsOf(object: object): string[] {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(object));
  return names.filter((name) => name !== 'constructor' && name !== 'close');
}

function attempt(object: object, name: string, args: unknown[]): unknown {
  const descriptor = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(object), name);
  if (descriptor?.get) return descriptor.get.call(object);
  return (descriptor!.value as Method).apply(object, args);
}

/** The addon's own object behind a KvmVm. */
const nativeOf = (guest: Guest): NativeKvmVm => addon.KvmVm.attach(guest.vm.id);

/** What no method takes, in each place. */
const WRONG: unknown[] = [
  undefined,
  null,
  -1,
  1.5,
  Number.NaN,
  2 ** 60,
  'x',
  {},
  [],
  new Uint8Array(0),
  new Uint8Array(3),
  new Uint8Array(70_000).fill(0xff),
  new Float64Array(18),
  new ArrayBuffer(144),
  () => {},
  Symbol('x'),
];

describe('every method', () => {
  it('throws EBADF once closed', () => {
    const guest = new Guest(HLT);
    const vcpu = guest.vcpu.native;
    const vm = nativeOf(guest);
    const threads = new addon.KvmVcpuThreads([vcpu]);
    const system = new addon.KvmSystem();
    const event = new addon.EventFd();
    for (const object of [threads, vcpu, vm, system, event]) {
      object.close();
      object.close();
      // Of a set of threads, the errors stay readable.
      for (const name of methodsOf(object).filter((each) => each !== 'error')) {
        expect(() => attempt(object, name, [0]), name).toThrow(code('EBADF'));
      }
    }
  });

  it('of a vCPU that runs throws EBUSY', async () => {
    const { vcpu } = new Guest(SPIN);
    const always = ['id', 'index', 'page'];
    const counted = kvm_msrs.create({});
    const sizes = [4, 8, 24, 40, 64, 72, 104, 128, 144, 312, 320, 392, 416, 1024, 4096].map((n) =>
      Buffer.alloc(n),
    );
    const exit = vcpu.runAsync();
    for (const name of methodsOf(vcpu.native).filter((each) => !always.includes(each))) {
      const tries = [...sizes, counted, 0n, 1].map((argument) => {
        try {
          return attempt(vcpu.native, name, [argument]);
        } catch (error) {
          return (error as { code?: string }).code;
        }
      });
      expect(tries, name).toContain('EBUSY');
      expect(
        tries.every((each) => each === 'EBUSY' || each === 'EINVAL'),
        name,
      ).toBe(true);
    }
    kickVcpu(vcpu.id);
    await exit;
  });

  it('throws for what it does not take, and goes on working', () => {
    const guest = new Guest(HLT);
    const vm = nativeOf(guest);
    const threads = new addon.KvmVcpuThreads([guest.vcpu.native]);
    const runs = ['run', 'runAsync', 'completeIo', 'wait'];
    for (const object of [vm, guest.vcpu.native, threads]) {
      for (const name of methodsOf(object).filter((each) => !runs.includes(each))) {
        for (const wrong of WRONG) {
          for (const args of [[wrong], [wrong, wrong, wrong, wrong, wrong, wrong]]) {
            try {
              attempt(object, name, args);
            } catch (error) {
              expect((error as { code?: string }).code, `${name}(${typeof wrong})`).toMatch(/^E[A-Z]+$/);
            }
          }
        }
      }
    }
    threads.close();
    expect(guest.vcpu.getRegs().rip).toBeDefined();
  });

  it('refuses a `this` of another class', () => {
    const { vcpu } = new Guest(HLT);
    const run = Object.getPrototypeOf(vcpu.native).run as () => number;
    expect(() => run.call(new addon.EventFd() as never)).toThrow(TypeError);
    expect(() => new (addon.KvmVm as unknown as new (x: unknown) => unknown)({})).toThrow(code('EINVAL'));
    expect(() => new (addon.KvmVcpuThreads as unknown as new (x: unknown) => unknown)([{}])).toThrow(
      code('EINVAL'),
    );
    expect(() => new addon.KvmVcpuThreads([vcpu.native, vcpu.native])).toThrow(code('EINVAL'));
    expect(() => new addon.KvmVcpuThreads([])).toThrow(code('EINVAL'));
  });
});

describe('memory slots', () => {
  const MIB = 2 ** 20;
  const cases: Array<[what: string, slot: object, error: string]> = [
    ['overlapping', { slot: 1, address: 0x8000 }, 'EEXIST'],
    ['of an unaligned address', { slot: 1, address: MIB + 1 }, 'EINVAL'],
    ['of an unaligned size', { slot: 1, address: MIB, bytes: 4097 }, 'EINVAL'],
    ['of an unaligned offset', { slot: 1, address: MIB, offset: 1, bytes: 4096 }, 'EINVAL'],
    ['of no bytes', { slot: 1, address: MIB, bytes: 0 }, 'EINVAL'],
    ['beyond the memory', { slot: 1, address: MIB, offset: 0x8000, bytes: 0x9000 }, 'ERANGE'],
    ['larger than the memory', { slot: 1, address: MIB, bytes: 2 * MIB }, 'EINVAL'],
    ['of a number that KVM has not', { slot: 0xffff, address: MIB }, 'EINVAL'],
    ['of a negative number', { slot: -1, address: MIB }, 'EINVAL'],
    ['at the end of the address space', { slot: 1, address: 2 ** 53 - 4096 }, 'EINVAL'],
  ];
  it.each(cases)('%s are refused', (_, slot, error) => {
    const guest = new Guest(HLT);
    const all = { memory: guest.memory, slot: 0, address: 0, ...slot };
    expect(() => guest.vm.setMemory(all)).toThrow(code(error));
    expect(guest.vcpu.run().exit_reason).toBe('KVM_EXIT_HLT');
  });

  it('of closed memory, or of none that is there, are refused', () => {
    const guest = new Guest(HLT);
    const closed = GuestMemory.create(4096);
    closed.close();
    expect(() => guest.vm.setMemory({ slot: 1, address: 2 ** 20, memory: closed, bytes: 4096 })).toThrow(
      code('EBADF'),
    );
    expect(() => guest.vm.deleteMemory(5)).toThrow(code('EINVAL', 'ENOENT'));
    expect(() => guest.vm.getDirtyLog(5)).toThrow(code('ENOENT'));
    expect(() => guest.vm.getDirtyLog(0)).toThrow(code('ENOENT', 'EINVAL'));
  });
});

describe("an error's text", () => {
  it('names the ioctl and what the kernel said', () => {
    const { vm, vcpu } = new Guest(HLT);
    expect(() => vm.createVcpu(0)).toThrow('KVM_CREATE_VCPU: File exists');
    expect(() => vm.createVcpu(2 ** 31)).toThrow(/^KVM_CREATE_VCPU: /);
    expect(() => vm.enableCap(0xffff)).toThrow('KVM_ENABLE_CAP: Invalid argument');
    expect(() => vm.createPit2()).toThrow(/^KVM_CREATE_PIT2: /);
    expect(() => vcpu.getLapic()).toThrow(/^KVM_GET_LAPIC: /);
    expect(() => vcpu.setSregs({ cr4: 1n << 63n })).toThrow('KVM_SET_SREGS: Invalid argument');
    expect(() => vcpu.native.getRegs(new Uint8Array(8))).toThrow(
      'KVM_GET_REGS takes a structure of 144 bytes, not 8',
    );
  });

  it('says what to do when there is no KVM', async () => {
    expect(() => addon.KvmVm.attach(0)).toThrow(code('ENOENT'));
    const kvm = new Kvm();
    expect(kvm.checkExtension(0xffff)).toBe(0);
    kvm.close();
  });
});

describe('an EventFd', () => {
  it('counts, tells, and is told once', async () => {
    const event = new EventFd();
    expect(event.take()).toBe(0);
    event.signal();
    event.signal();
    expect(event.take()).toBe(2);
    const told = new Promise((resolve) => event.onSignal(resolve));
    expect(() => event.onSignal(() => {})).toThrow(code('EBUSY'));
    event.signal();
    expect(await told).toBe(1);
    event.close();
    event.close();
    expect(() => event.signal()).toThrow(code('EBADF'));
  });
});
