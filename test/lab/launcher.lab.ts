/** The launcher's own bad ends on a real KVM: it is killed, or a vCPU of its guest can run no more. */
import { expect, it } from 'vitest';
import { buildKernel } from '../fuzz/kernels.js';
import { inLab } from './lib/lab.js';

it('kill -9 leaves no process, no file and no virtual machine', async (context) => {
  const { status, stdout, stderr } = await inLab(context, [
    ...['bash', 'test/lab/programs/killed-launcher.sh', buildKernel('guest/bench-restore')],
  ]);
  expect(status, stderr).toBe(0);
  expect(stdout).toBe('machines: 1\nkilled\nprocesses: 0\nmachines: 0\nfiles: 0\n');
});

it('a vCPU whose thread cannot run it any more ends the domain, and says why', async (context) => {
  const { status, stdout, stderr } = await inLab(context, [
    ...['node', 'test/lab/programs/lost-vcpu.mjs', buildKernel('gdb/kernel')],
  ]);
  expect(status, stderr).toBe(0);
  // EBADF, or ENOTTY once the number is another file's.
  expect(JSON.parse(stdout)).toEqual({
    reason: 'crash',
    why: expect.stringMatching(/^the kvm engine cannot go on: KVM_RUN: \w/),
  });
});
