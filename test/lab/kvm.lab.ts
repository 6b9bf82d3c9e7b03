/** The lab has a real KVM, by every sign that xenner's KVM engine needs, and by xenner's own probe. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inLab, ROOT } from './lib/lab.js';

let build: string;
beforeAll(() => {
  build = mkdtempSync(join(tmpdir(), 'xenner-lab-programs-'));
  const source = `${ROOT}test/lab/programs/capabilities.c`;
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', `${build}/capabilities`, source]);
});
afterAll(() => rmSync(build, { recursive: true, force: true }));

describe("the lab's KVM", () => {
  it('is kvm_amd with nested paging, on an emulated SVM', async (context) => {
    const script = 'cat /sys/module/kvm_amd/parameters/npt; grep -ow -m 1 svm /proc/cpuinfo; uname -r';
    const { status, stdout } = await inLab(context, ['sh', '-c', script]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^Y\nsvm\n6\.1[2-9]/);
  });

  it('has the interrupt controllers, event descriptors and Xen support of hardware', async (context) => {
    const { status, stdout } = await inLab(context, [`${build}/capabilities`]);
    expect(status).toBe(0);
    const found = Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(/ (?=\S+$)/)),
    );
    const { KVM_CAP_XEN_HVM, ...rest } = found;
    expect(rest).toEqual({
      KVM_GET_API_VERSION: '12',
      KVM_CAP_IRQCHIP: '1',
      KVM_CAP_SPLIT_IRQCHIP: '1',
      KVM_CAP_IRQFD: '1',
      KVM_CAP_IOEVENTFD: '1',
      KVM_CAP_SIGNAL_MSI: '1',
      KVM_CAP_TSC_DEADLINE_TIMER: '1',
      KVM_CAP_IMMEDIATE_EXIT: '1',
      KVM_CAP_READONLY_MEM: '1',
      KVM_CREATE_IRQCHIP: '0',
      'KVM_ENABLE_CAP split': '0',
    });
    expect(Number(KVM_CAP_XEN_HVM)).toBeGreaterThan(0);
  });

  it("is usable by xenner's own probe", async (context) => {
    const { status, stdout } = await inLab(context, ['node', 'dist/cli/main.js', 'host', '--json']);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).kvm).toMatchObject({ usable: true });
  });
});

describe('drivers that the kernel loads when they are asked for', () => {
  it.for(['net/tun', 'loop-control', 'fuse', 'vhost-net'])('/dev/%s opens', async (name, context) => {
    expect(await inLab(context, ['sh', '-c', `exec 3<>/dev/${name}`])).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });
});
