// A guest at work on two disks and a network, one leg of its way from engine to engine:
//   node devices.mjs boot ENGINE FOLDER KERNEL RAMDISK     plugs the second disk in while it runs
//   node devices.mjs go-on ENGINE FOLDER                   with what the last leg has saved
//   node devices.mjs end ENGINE FOLDER                     the same, and powers off
// /bin/lease in the ramdisk is udhcpc's script, which prints what passt gave.
// In FOLDER are first.raw and second.qcow2; the saved guest comes and goes there. Answers are a line of JSON.
import { join } from 'node:path';
import { blockDevice, createDomain, netDevice, openImage, openPasstPort, restoreDomain } from 'xenner';
import { ConsoleScript } from '../../../scripts/lib/console-script.mjs';

const TIMEOUT_MS = 120_000;
const [leg = '', wish = '', folder = '', kernel = '', ramdisk = ''] = process.argv.slice(2);
const engine = /** @type {'kvm' | 'soft'} */ (wish);
const save = join(folder, 'guest.save');
const APPEARS = (/** @type {string} */ name) => `until [ -b /dev/${name} ]; do sleep 0.1; done`;

const open = async (
  /** @type {string} */ file,
  /** @type {'raw' | 'qcow2'} */ format,
  /** @type {string} */ name,
) => {
  const image = await openImage(join(folder, file), { format });
  return { image, device: blockDevice({ image, name }) };
};
const first = await open('first.raw', 'raw', 'xvda');
const second = await open('second.qcow2', 'qcow2', 'xvdb');
const passt = await openPasstPort();
const nic = netDevice(passt, { mac: '00:16:3e:00:00:01', handle: 0 });
const domain =
  leg === 'boot'
    ? await createDomain({ engine, kernel, ramdisk, memoryMiB: 128, cmdline: 'console=hvc0 quiet' }, [
        first.device,
        nic,
      ])
    : await restoreDomain(save, { engine }, [first.device, second.device, nic]);
const script = new ConsoleScript((text) => domain.writeConsole(text));
domain.on('console', (chunk) => script.feed(chunk));
const ended = domain.wait();
ended.then((end) => script.end(`the guest ended: ${end.reason} ${end.crash?.why ?? ''}`));

/** @param {string} command */
async function run(command) {
  const { output, status } = await script.run(command, TIMEOUT_MS);
  if (status !== 0) throw new Error(`'${command}' ended with ${status}: ${output}`);
  return output.trim();
}

async function begin() {
  await script.expect(/xenner:\S+# /, TIMEOUT_MS);
  await run(
    `dmesg -n 1; for m in xen-blkfront xen-netfront; do insmod /lib/drivers/$m.ko; done; ${APPEARS('xvda')}`,
  );
  await run('until [ -d /sys/class/net/eth0 ]; do sleep 0.1; done');
  await run('ip link set eth0 up');
  domain.attach(second.device);
  await run(APPEARS('xvdb'));
  await run('dd if=/dev/urandom of=/tmp/data bs=64k count=32 status=none');
  for (const disk of ['xvda', 'xvdb'])
    await run(`dd if=/tmp/data of=/dev/${disk} bs=64k conv=fsync status=none`);
}

try {
  if (leg === 'boot') await begin();
  const sums = [];
  for (const disk of ['xvda', 'xvdb'])
    sums.push(
      (await run(`echo 3 >/proc/sys/vm/drop_caches; head -c 2097152 /dev/${disk} | md5sum`)).slice(0, 32),
    );
  const lease = await run('udhcpc -nq -i eth0 -s /bin/lease 2>/dev/null');
  // Written on one engine, read on the next.
  await run('dd if=/dev/urandom of=/tmp/data bs=64k count=32 status=none');
  for (const disk of ['xvda', 'xvdb'])
    await run(`dd if=/tmp/data of=/dev/${disk} bs=64k conv=fsync status=none`);
  const written = (await run('md5sum </tmp/data')).slice(0, 32);
  if (leg === 'end') domain.control.shutdown('poweroff');
  else await domain.save(save);
  const { reason } = await ended;
  process.stdout.write(`${JSON.stringify({ engine: domain.engine, sums, lease, written, reason })}\n`);
} finally {
  await domain.destroy();
  await passt.close();
  for (const { image } of [first, second]) await image.close();
}
