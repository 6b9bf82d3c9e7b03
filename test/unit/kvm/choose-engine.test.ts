/** Which engine is chosen for what the machine and the build offer, and what `xenner host` says of it. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { hostCommand } from '../../../src/cli/host/host.js';
import type { Addon, NativeKvmProbe } from '../../../src/kvm/addon.js';
import { chooseEngine, type EngineWish } from '../../../src/kvm/index.js';

const works: NativeKvmProbe = { usable: true, reason: 'runs guests, ring 0 at 3000 MIPS', mips: 3000 };
const absent: NativeKvmProbe = { usable: false, reason: 'no /dev/kvm', mips: 0 };
const interprets: NativeKvmProbe = {
  usable: false,
  reason: 'ring-0 code runs at 4 MIPS: interpreted',
  mips: 4,
};

const addon = vi.hoisted(() => ({}) as { -readonly [K in keyof Addon]?: Addon[K] });
vi.mock('../../../src/kvm/addon.js', async (original) => ({ ...(await original()), loadAddon: () => addon }));

function offer(softCpu: boolean, probe: NativeKvmProbe): void {
  if (softCpu) addon.SoftVcpu = class {} as unknown as NonNullable<Addon['SoftVcpu']>;
  else delete addon.SoftVcpu;
  addon.probeKvm = vi.fn(() => probe);
}

describe('chooseEngine', () => {
  const answers: Array<{ wish: EngineWish; softCpu: boolean; probe: NativeKvmProbe; is: string }> = [
    { wish: 'auto', softCpu: true, probe: works, is: `kvm: KVM ${works.reason}` },
    { wish: 'auto', softCpu: true, probe: absent, is: 'soft: no KVM: no /dev/kvm' },
    { wish: 'auto', softCpu: true, probe: interprets, is: `soft: no KVM: ${interprets.reason}` },
    { wish: 'auto', softCpu: false, probe: works, is: `kvm: KVM ${works.reason}` },
    { wish: 'auto', softCpu: false, probe: absent, is: 'ENO_SOFT_CPU' },
    { wish: 'soft', softCpu: true, probe: works, is: 'soft: it was asked for' },
    { wish: 'soft', softCpu: false, probe: works, is: 'ENO_SOFT_CPU' },
    { wish: 'kvm', softCpu: false, probe: works, is: `kvm: KVM ${works.reason}` },
    { wish: 'kvm', softCpu: true, probe: absent, is: 'ENO_KVM' },
    { wish: 'kvm', softCpu: true, probe: interprets, is: 'ENO_KVM' },
  ];
  it.each(answers)('$wish, soft CPU $softCpu, KVM "$probe.reason": $is', ({ wish, softCpu, probe, is }) => {
    offer(softCpu, probe);
    let answer: string;
    try {
      const { engine, why } = chooseEngine(wish);
      answer = `${engine.name}: ${why}`;
    } catch (error) {
      answer = (error as { code: string }).code;
    }
    expect(answer).toBe(is);
    expect(addon.probeKvm).toHaveBeenCalledTimes(wish === 'soft' ? 0 : 1);
  });
});

describe('xenner host', () => {
  let output = '';
  beforeEach(() => {
    output = '';
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      output += String(text);
      return true;
    });
  });
  afterEach(() => vi.restoreAllMocks());

  it('says the engine and why', async () => {
    offer(true, interprets);
    await hostCommand().parseAsync(['node', 'xenner']);
    expect(output).toMatch(/^engine +soft: no KVM: ring-0 code runs at 4 MIPS: interpreted$/m);
    expect(output).toMatch(/^KVM +not usable: ring-0 code runs at 4 MIPS: interpreted$/m);
    expect(output).toMatch(/^soft CPU +built in$/m);
    expect(addon.probeKvm).toHaveBeenCalledTimes(1);
  });

  it('says what to run when nothing can run guests', async () => {
    offer(false, absent);
    await hostCommand().parseAsync(['node', 'xenner']);
    expect(output).toMatch(/^engine +none: this build has no soft CPU; run `npm run setup`/m);
    expect(output).toMatch(/^KVM +not usable: no \/dev\/kvm$/m);
  });

  it('--json has the same', async () => {
    offer(true, absent);
    await hostCommand().parseAsync(['node', 'xenner', '--json']);
    expect(JSON.parse(output)).toMatchObject({
      engine: 'soft',
      why: 'no KVM: no /dev/kvm',
      softCpu: true,
      kvm: absent,
      cpu: { model: expect.any(String), threads: expect.any(Number) },
      memory: { totalMiB: expect.any(Number), availableMiB: expect.any(Number) },
    });
  });
});
