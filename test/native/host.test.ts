/** What the addon says of the host: clocks, and whether KVM can be used. */

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, type TestContext } from 'vitest';
import { chooseEngine, clockSample, hasSoftCpu, hostTsc, probeKvm } from '../../src/kvm/index.js';
import { addonProcess, addonWorker, messageOf } from './addon-worker.js';

describe('clockSample', () => {
  it('lies between two readings of the same clocks', () => {
    const monotonic = process.hrtime.bigint();
    const realtime = BigInt(Date.now()) * 1_000_000n;
    const sample = clockSample();
    expect(sample.monotonicNs).toBeGreaterThanOrEqual(monotonic);
    expect(sample.monotonicNs).toBeLessThanOrEqual(process.hrtime.bigint());
    expect(sample.realtimeNs).toBeGreaterThanOrEqual(realtime);
    expect(sample.realtimeNs).toBeLessThan(BigInt(Date.now() + 1) * 1_000_000n);
  });

  it('has the same TSC as the reading of that alone', () => {
    const before = hostTsc();
    const { tsc } = clockSample();
    expect(tsc).toBeGreaterThan(before);
    expect(hostTsc()).toBeGreaterThan(tsc);
  });

  it('two samples give one TSC rate', async () => {
    const rate = async () => {
      const first = clockSample();
      await new Promise((resolve) => setTimeout(resolve, 100));
      const second = clockSample();
      return Number(second.tsc - first.tsc) / Number(second.monotonicNs - first.monotonicNs);
    };
    const one = await rate();
    expect(one).toBeGreaterThan(0.1);
    expect(Math.abs((await rate()) / one - 1)).toBeLessThan(0.001);
  });
});

describe('probeKvm', () => {
  it('answers in bounded time, with a reason', () => {
    const start = performance.now();
    const probe = probeKvm();
    expect(performance.now() - start).toBeLessThan(5000);
    expect(probe.reason).toMatch(/^[^A-Z\n][^\n]*$|^K/);
    expect(probe.mips).toBeGreaterThanOrEqual(0);
    if (probe.usable) expect(probe.mips).toBeGreaterThanOrEqual(100);
    if (!existsSync('/dev/kvm')) expect(probe).toEqual({ usable: false, reason: 'no /dev/kvm', mips: 0 });
  });

  it('from two threads at once gives each its answer', async () => {
    const source = 'parentPort.postMessage(addon.probeKvm());';
    const answers = await Promise.all([1, 2].map(() => messageOf(addonWorker(source, undefined))));
    const { usable } = probeKvm();
    expect(answers.map((answer) => (answer as { usable: boolean }).usable)).toEqual([usable, usable]);
  });

  it('leaves no descriptor and no mapping behind, and no more signal handlers than the first one', async () => {
    const source = `
      const fs = require('node:fs');
      const look = () => [
        fs.readdirSync('/proc/self/fd').length,
        fs.readFileSync('/proc/self/maps', 'utf8').split('\\n').filter((line) => line.includes('kvm-vcpu')).length,
        /SigCgt:\\s*(.*)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1],
      ].join();
      addon.probeKvm();
      const before = look();
      for (let i = 0; i < 3; i++) addon.probeKvm();
      const after = look();
      process.stdout.write(before === after ? 'same' : before + ' ' + after);
    `;
    expect(await addonProcess(source)).toBe('same');
  });

  it('a device that is not KVM is not usable', ({ skip }) => {
    skip(process.getuid?.() !== 0 || !existsSync('/dev/kvm'), 'needs root and a /dev/kvm to mount over');
    // In a mount namespace of its own.
    const script = `
      mount --bind /dev/null /dev/kvm &&
      exec "$0" -e 'console.log(JSON.stringify(require(process.argv[1]).probeKvm()))' "$1"`;
    const addon = new URL('../../build/Release/xenner.node', import.meta.url).pathname;
    const answer = execFileSync('unshare', ['-m', 'sh', '-c', script, process.execPath, addon], {
      encoding: 'utf8',
    });
    expect(JSON.parse(answer)).toMatchObject({ usable: false, mips: 0 });
    expect(JSON.parse(answer).reason).toMatch(/^KVM_GET_API_VERSION: /);
  });

  it.for([
    ['0660', 'games', ': add the user to the group games'],
    ['0660', '54321', ': add the user to the group 54321'],
    ['0600', 'games', ' to all but its owner'],
  ] as const)('a device of mode %s and group %s: whom it opens for', ([mode, group, whom], { skip }) => {
    skip(process.getuid?.() !== 0 || !existsSync('/dev/kvm'), 'needs root and a /dev/kvm to mount over');
    const folder = mkdtempSync(join(tmpdir(), 'xenner-denied-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    // Another user has to reach them.
    chmodSync(folder, 0o755);
    copyFileSync(new URL('../../build/Release/xenner.node', import.meta.url), `${folder}/xenner.node`);
    const program = `
      const { probeKvm, KvmSystem } = require('${folder}/xenner.node');
      console.log(probeKvm().reason);
      try { new KvmSystem(); } catch ({ code, message }) { console.log(code + ' ' + message); }`;
    const script = `
      : >device && chmod "$1" device && chown "root:$2" device && mount --bind device /dev/kvm &&
      exec setpriv --reuid=65534 --regid=65534 --clear-groups "$0" -e "$3"`;
    const argv = ['-m', 'sh', '-c', script, process.execPath, mode, group, program];
    const reason = `/dev/kvm: permission denied${whom}\n`;
    const text = execFileSync('unshare', argv, { encoding: 'utf8', cwd: folder });
    expect(text).toBe(`${reason}EACCES ${reason}`);
  });
});

describe('chooseEngine', () => {
  const needsSoft = (context: TestContext) => context.skip(!hasSoftCpu(), 'this build has no soft CPU');

  it('auto is what the probe found', (context) => {
    needsSoft(context);
    const { engine, why, probe } = chooseEngine('auto');
    expect(engine.name).toBe(probe?.usable ? 'kvm' : 'soft');
    expect(why).toContain(probe?.usable ? 'KVM runs guests' : 'no KVM: ');
  });

  it('soft does not ask KVM', (context) => {
    needsSoft(context);
    expect(chooseEngine('soft')).toMatchObject({ engine: { name: 'soft' }, probe: undefined });
  });

  it('kvm is refused where there is none, with what to do instead', () => {
    if (probeKvm().usable) expect(chooseEngine('kvm').engine.name).toBe('kvm');
    else expect(() => chooseEngine('kvm')).toThrow(expect.objectContaining({ code: 'ENO_KVM' }));
  });
});
