/** GDB itself, driven through its prompt. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { ConsoleScript } from '../../scripts/lib/console-script.mjs';

const TIMEOUT_MS = 60_000;
const SETTINGS = [
  'confirm off',
  'pagination off',
  'width 0',
  'debuginfod enabled off',
  'print thread-events off',
];

export class Gdb {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #script: ConsoleScript;
  readonly #ended: Promise<void>;
  #commands = 0;

  private constructor(symbols: string) {
    // Its errors in their place between its answers.
    const command = 'exec gdb -nx -q -ex "set prompt" "$0" 2>&1';
    this.#child = spawn('sh', ['-c', command, symbols]);
    this.#script = new ConsoleScript((text) => this.#child.stdin.write(text));
    this.#child.stdin.on('error', () => {});
    this.#child.stdout.on('data', (chunk) => this.#script.feed(chunk));
    this.#ended = new Promise((resolve) => {
      this.#child.on('close', () => {
        this.#script.end('gdb has ended');
        resolve();
      });
    });
  }

  /** Connected to a guest, of whose kernel `symbols` is the file. */
  static async attach(symbols: string, port: number): Promise<Gdb> {
    const gdb = new Gdb(symbols);
    for (const setting of SETTINGS) await gdb.run(`set ${setting}`);
    await gdb.run(`target remote 127.0.0.1:${port}`);
    return gdb;
  }

  /** What a command prints until it is done: those that let the guest go on are when it stands still again. */
  async run(command: string): Promise<string> {
    const done = `<done ${++this.#commands}>`;
    this.#child.stdin.write(`${command}\necho ${done}\\n\n`);
    return (await this.#script.expect(new RegExp(done), TIMEOUT_MS)).before.trim();
  }

  /** A command that lets the guest go on, done as soon as that has been asked for. */
  async resume(command: string): Promise<void> {
    await this.run(`${command} &`);
  }

  /** Until the guest stands still; what was printed meanwhile. */
  async stopped(): Promise<string> {
    let text = '';
    for (;;) {
      const answer = await this.run('output $rip');
      text += answer;
      if (!answer.includes('is running')) return text;
    }
  }

  /** Ctrl-C. */
  async interrupt(): Promise<string> {
    return (await this.run('interrupt')) + (await this.stopped());
  }

  /** The value of an expression. */
  async value(expression: string): Promise<bigint> {
    const text = await this.run(`printf "=%lu=\\n", (unsigned long)(${expression})`);
    const match = /=(\d+)=/.exec(text);
    if (match === null) throw new Error(`gdb on ${expression}: ${text}`);
    return BigInt(match[1]!);
  }

  /** As if it crashed: its end of the connection is closed, without a word. */
  kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    return this.#ended;
  }

  quit(): Promise<void> {
    this.#child.stdin.end('quit\n');
    return this.#ended;
  }
}
