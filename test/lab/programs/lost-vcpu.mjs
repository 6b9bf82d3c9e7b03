// Takes a vCPU's descriptor from under a guest that runs on two: node lost-vcpu.mjs KERNEL, test/gdb/kernel.
// Prints how the domain ended: { reason, why }.
import { once } from 'node:events';
import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { createDomain } from 'xenner';

const FDS = '/proc/self/fd';
const [kernel = ''] = process.argv.slice(2);
const domain = await createDomain({ kernel, memoryMiB: 64, vcpus: 2, engine: 'kvm', onReboot: 'end' });
const ended = domain.wait();
while (!domain.consoleTail.includes('spinning')) await once(domain, 'console');
const fd = readdirSync(FDS).find((name) => {
  try {
    return readlinkSync(`${FDS}/${name}`) === 'anon_inode:kvm-vcpu:1';
  } catch {
    return false; // that of readdir itself
  }
});
closeSync(Number(fd));
// It finds out when it next enters the guest: this makes it leave it first.
await domain.pause();
await domain.unpause();
const { reason, crash } = await ended;
process.stdout.write(`${JSON.stringify({ reason, why: crash?.why })}\n`);
await domain.destroy();
