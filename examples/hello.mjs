// Boots a guest, gives it one command, shows what it prints and tells how it ended: node hello.mjs KERNEL RAMDISK
import { createDomain, formatCrash } from 'xenner';

const [kernel, ramdisk] = process.argv.slice(2);
const domain = await createDomain({ kernel, ramdisk, cmdline: 'console=hvc0 quiet', memoryMiB: 128 });
console.log(`engine ${domain.engine}: ${domain.engineReason}`);

let asked = false;
domain.on('console', (chunk) => {
  process.stdout.write(chunk);
  if (!asked && domain.consoleTail.includes('# ')) {
    asked = true;
    domain.writeConsole('uname -sr; poweroff\n');
  }
});

const end = await domain.wait();
console.log(`\nended by ${end.reason}`);
if (end.crash) console.log(formatCrash(end.crash));
