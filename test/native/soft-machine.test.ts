/** The soft engine's machine: who runs, what wait() comes back for, and its ends. */
import { beforeEach, describe, expect, it } from 'vitest';
import { GuestMemory, gpa, hasSoftCpu, kick, softEngine, VCPU_EXIT } from '../../src/kvm/index.js';
import { EXIT_PORT, TinyGuest } from './tiny-guest.js';

beforeEach(({ skip }) => skip(!hasSoftCpu(), 'this build has no soft CPU'));

const MS = 1e6;
const now = () => Number(process.hrtime.bigint());
const open = (exitPort = EXIT_PORT) => {
  const memory = GuestMemory.create(2 ** 20);
  return { memory, machine: softEngine.createMachine({ memory, exitPort, nrVcpus: 1 }) };
};

/** A machine with one vCPU at the first instruction of `source`. */
function machineOf(source: string) {
  const guest = new TinyGuest(source);
  const { memory } = guest;
  const machine = softEngine.createMachine({ memory, exitPort: EXIT_PORT, nrVcpus: 1 });
  const vcpu = machine.createVcpu(0);
  vcpu.setState(guest.initialState());
  guest.vcpu.close();
  return { memory, machine, vcpu };
}
const looping = () => machineOf(`again: inc %ebx; out %al, $${EXIT_PORT}; jmp again`);

describe('wait', () => {
  it('returns the vCPU that stopped; one that is not resumed stays where it is', () => {
    const { machine, vcpu, memory } = looping();
    const first = vcpu.getState().rbx;
    for (let round = 1; round <= 3; round++) {
      machine.resume(vcpu);
      expect([machine.wait(), vcpu.exit]).toEqual([vcpu, VCPU_EXIT.PORT]);
      machine.setTimer(now() + MS);
      expect(machine.wait()).toBeUndefined();
      expect(vcpu.getState().rbx - first).toBe(BigInt(round));
    }
    machine.close();
    memory.close();
  });

  it('comes back for a kick, and the vCPU is still resumed', () => {
    const { machine, vcpu, memory } = looping();
    machine.resume(vcpu);
    kick(machine.id);
    expect(machine.wait()).toBeUndefined();
    expect(machine.wait()).toBe(vcpu);
    machine.close();
    memory.close();
  });

  it('comes back for the timer out of a loop', () => {
    const { memory, machine, vcpu } = machineOf('spin: jmp spin');
    machine.resume(vcpu);
    machine.setTimer(now() + 5 * MS);
    expect(machine.wait()).toBeUndefined();
    machine.close();
    memory.close();
  });
});

describe('machines', () => {
  it.each([-1, 1, 0.5, Number.NaN])('vCPU %d is refused', (index) => {
    const { memory, machine } = open();
    expect(() => machine.createVcpu(index)).toThrow(expect.objectContaining({ code: 'EVCPU_LIMIT' }));
    machine.close();
    memory.close();
  });

  it('have each vCPU once', () => {
    const { memory, machine } = open();
    machine.createVcpu(0);
    expect(() => machine.createVcpu(0)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    machine.close();
    memory.close();
  });

  it('close twice; afterwards everything is EBADF, and kicks are ignored', () => {
    const { machine, vcpu, memory } = looping();
    const state = vcpu.getState();
    machine.resume(vcpu);
    machine.close();
    machine.close();
    const calls: Array<() => unknown> = [
      () => machine.createVcpu(0),
      () => machine.wait(),
      () => machine.setTimer(0),
      () => machine.invalidate(gpa(0), 1),
      () => vcpu.inject(1),
      () => vcpu.getState(),
      () => vcpu.setState(state),
      () => vcpu.setCpuid([]),
    ];
    for (const call of calls) expect(call, String(call)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    kick(machine.id);
    memory.close();
    expect(() => softEngine.createMachine({ memory, exitPort: EXIT_PORT, nrVcpus: 1 })).toThrow(
      expect.objectContaining({ code: 'EBADF' }),
    );
  });

  it.each([-1, 65536, Number.NaN])('exit port %d is EINVAL', (exitPort) => {
    expect(() => open(exitPort)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });
});
