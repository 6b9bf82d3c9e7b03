// Runs PV kernels of test/guest one after the other: node guest-kernels.mjs KERNELS VCPUS fast|slow NAME...
// For each a line of JSON: { name, text, crash }, the text in the form of expected.txt.
import { createDomain, formatCrash } from 'xenner';

const [kernels, vcpus, paths, ...names] = process.argv.slice(2);
const TIMEOUT_MS = 60_000;

for (const name of names) {
  const domain = await createDomain({
    kernel: `${kernels}/${name}.elf`,
    memoryMiB: 64,
    vcpus: Number(vcpus),
    engine: 'kvm',
    fastPaths: paths === 'fast',
    onReboot: 'end',
  });
  let text = '';
  domain.on('console', (chunk) => {
    text += chunk.toString('latin1');
  });
  const timer = setTimeout(() => void domain.destroy(), TIMEOUT_MS);
  const { reason, crash } = await domain.wait();
  clearTimeout(timer);
  text += `[${reason}]\n`;
  const report = crash === undefined ? '' : `${crash.why}\n${formatCrash(crash)}`;
  process.stdout.write(`${JSON.stringify({ name, text, crash: report })}\n`);
}
