// The demo without a terminal: boots the guest, does what a visitor would do, and checks that the guest did it.
// usage: demo-session.mjs COMMAND [ARGUMENT]...   the command that boots the guest with its console on stdin and stdout
import { spawn } from 'node:child_process';
import { ConsoleScript } from './console-script.mjs';

const WHOLE_TIMEOUT_MS = 120_000;
const PROMPT = /xenner:\S+# /;

/** What is typed, and what the guest has to answer. */
const STEPS = [
  { type: 'uname -srm', answer: /^Linux \d+\.\d+\S* x86_64$/m },
  { type: 'cat /sys/hypervisor/type', answer: /^xen$/m },
  { type: 'cat /sys/hypervisor/version/major', answer: /^4$/m },
  { type: 'free -m | head -n 2', answer: /^Mem: +\d+/m },
  { type: 'seq 1 1000 | md5sum', answer: /^53d025127ae99ab79e8502aae2d9bea6 {2}-$/m },
  { type: 'for i in 1 2 3; do sh -c "echo process $i: $((i * 14))"; done', answer: /^process 3: 42$/m },
];

/** @param {ConsoleScript} script */
async function visit(script) {
  await script.expect(PROMPT, WHOLE_TIMEOUT_MS);
  for (const { type, answer } of STEPS) {
    script.send(`${type}\n`);
    const { before } = await script.expect(PROMPT);
    if (!answer.test(before.replaceAll('\r', '')))
      throw new Error(`'${type}' was not answered with ${answer}`);
  }
  script.send('poweroff\n');
}

async function main() {
  const [command, ...args] = process.argv.slice(2);
  if (command === undefined) throw new Error('no command given');
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const script = new ConsoleScript((text) => child.stdin.write(text));
  const exited = new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) =>
      resolve(code === 0 ? undefined : `ended with ${signal ?? `status ${code}`}`),
    );
  });
  exited.then((problem) => script.end(`the guest ${problem ?? 'is off'}`));
  child.stdin.on('error', () => {}); // a guest that ended early is reported by its exit status
  child.stdout.on('data', (bytes) => process.stdout.write(script.feed(bytes)));
  const watchdog = setTimeout(() => child.kill('SIGKILL'), WHOLE_TIMEOUT_MS);
  try {
    await visit(script);
    const problem = await exited;
    if (problem !== undefined) throw new Error(`after poweroff the guest ${problem}`);
  } finally {
    clearTimeout(watchdog);
    child.kill();
  }
}

try {
  await main();
  console.error('demo: the guest booted, answered and powered off');
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
