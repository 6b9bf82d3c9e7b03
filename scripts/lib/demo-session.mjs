// The demo without a terminal: boots the guest, does what a visitor would do, and checks that the guest did it.
// usage: demo-session.mjs shell|disk COMMAND [ARGUMENT]...   the command that boots the guest with its console on stdin and stdout
import { spawn } from 'node:child_process';
import { ConsoleScript } from './console-script.mjs';

const WHOLE_TIMEOUT_MS = 240_000;

/** bash tells the terminal where pasting begins and ends. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it looks for
const BRACKETED_PASTE = /\x1b\[\?2004[hl]/g;

const XEN = [
  { type: 'uname -srm', answer: /^Linux \d+\.\d+\S* x86_64$/m },
  { type: 'cat /sys/hypervisor/type', answer: /^xen$/m },
  { type: 'cat /sys/hypervisor/version/major', answer: /^4$/m },
];

/** @typedef {{ login?: boolean, prompt: RegExp, steps: { type: string, answer: RegExp }[] }} Session */

/**
 * How one gets to the prompt, and then what is typed and what the guest has to answer.
 * @type {Record<string, Session>}
 */
const SESSIONS = {
  shell: {
    prompt: /xenner:\S+# /,
    steps: [
      ...XEN,
      { type: 'free -m | head -n 2', answer: /^Mem: +\d+/m },
      { type: 'seq 1 1000 | md5sum', answer: /^53d025127ae99ab79e8502aae2d9bea6 {2}-$/m },
      { type: 'for i in 1 2 3; do sh -c "echo process $i: $((i * 14))"; done', answer: /^process 3: 42$/m },
    ],
  },
  disk: {
    login: true,
    prompt: /root@xenner-disk:\S*# /,
    steps: [
      ...XEN,
      { type: 'systemctl is-system-running --wait', answer: /^running$/m },
      { type: 'findmnt -no SOURCE,FSTYPE /', answer: /^\/dev\/xvda1 +ext4$/m },
      {
        type: '/usr/lib/systemd/systemd-networkd-wait-online --timeout=60 -i enX0; echo online $?',
        answer: /^online 0$/m,
      },
    ],
  },
};

/**
 * @param {ConsoleScript} script
 * @param {Session} session
 */
async function visit(script, { login, prompt, steps }) {
  if (login) {
    await script.expect(/login: /, WHOLE_TIMEOUT_MS);
    script.send('root\n');
  }
  await script.expect(prompt, WHOLE_TIMEOUT_MS);
  for (const { type, answer } of steps) {
    script.send(`${type}\n`);
    const { before } = await script.expect(prompt);
    if (!answer.test(before.replaceAll('\r', '').replaceAll(BRACKETED_PASTE, '')))
      throw new Error(`'${type}' was not answered with ${answer}`);
  }
  script.send('poweroff\n');
}

async function main() {
  const [name = '', command, ...args] = process.argv.slice(2);
  const session = SESSIONS[name];
  if (session === undefined || command === undefined) throw new Error('no session or no command given');
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
    await visit(script, session);
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
