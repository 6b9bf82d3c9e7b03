// Debian on a disk, from a configuration of xl to a login and its end: node debian.mjs CONFIG. The domain's name is debian. Answers
// are a line of JSON.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { ConsoleScript } from '../../../scripts/lib/console-script.mjs';

const TIMEOUT_MS = 800_000;
const CLI = 'dist/cli/main.js';
const PROMPT = /root@xenner-disk:\S*# /;
const WAIT_ONLINE = '/usr/lib/systemd/systemd-networkd-wait-online --timeout=100 -i enX0';
const ROUTER = "$(ip -4 route show default | cut -d ' ' -f 3)";

/** @param {string[]} args */
function xenner(...args) {
  const { status, stderr } = spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`xenner ${args.join(' ')}: ${status}: ${stderr}`);
}

// passt gives this host's loopback the address of the guest's router.
const server = createServer((_, response) => response.end('over the network'));
await once(server.listen(0, '127.0.0.1'), 'listening');
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
xenner('create', '--engine', 'kvm', process.argv[2] ?? '');
const client = spawn(process.execPath, [CLI, 'console', 'debian'], { stdio: ['pipe', 'pipe', 'inherit'] });
const script = new ConsoleScript((text) => client.stdin.write(text));
client.stdout.on('data', (bytes) => script.feed(bytes));

/** @param {string} command */
async function run(command) {
  const { output, status } = await script.run(command, TIMEOUT_MS);
  if (status !== 0) throw new Error(`'${command}' ended with ${status}: ${output}`);
  return output.trim();
}

try {
  await script.expect(/login: /, TIMEOUT_MS);
  script.send('root\n');
  await script.expect(PROMPT, TIMEOUT_MS);
  const cpus = await run('dmesg -n 1; nproc');
  const heard = await run(`${WAIT_ONLINE}; curl -s --max-time 60 http://${ROUTER}:${port}/`);
  await run('dd if=/dev/urandom of=/root/data bs=64k count=32 conv=fsync status=none');
  const data = await run('md5sum </root/data');
  xenner('shutdown', '-w', 'debian');
  process.stdout.write(`${JSON.stringify({ cpus, heard, data: data.slice(0, 32) })}\n`);
} finally {
  client.kill();
  server.closeAllConnections();
  server.close();
}
