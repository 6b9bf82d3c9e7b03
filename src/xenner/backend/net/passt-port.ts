/** A port on passt (https://passt.top), which talks to the network as any program does: without privileges, bridges or taps. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { XennerError } from '../../../base/errors.js';
import { socketPair } from '../../../kvm/index.js';
import type { NetPort } from './net-port.js';
import { StreamPort } from './stream-port.js';

export interface PasstOptions {
  /** Forwards to the guest, in passt's own words: `2222:22`, `127.0.0.1/8080:80`. None by default. */
  readonly tcpPorts?: readonly string[] | undefined;
  readonly udpPorts?: readonly string[] | undefined;
  /** That it tells the guest by DHCP. */
  readonly mtu?: number | undefined;
  /** The program; default: `passt` in PATH. */
  readonly program?: string | undefined;
}

const SOCKET_FD = 3;
/**
 * Of frames on their way. What does not fit, passt drops, and has the guest ask for it again; the 208 KiB that a socket has otherwise
 * are less than it sends at once.
 */
const SOCKET_BYTES = 4 * 2 ** 20;
/** Of what passt says. */
const MAX_LOG_CHARACTERS = 4096;
/** It tries the system's log as well. */
const NOISE = /^Failed to send \d+ bytes to syslog$/;
/** For passt to end by itself when its socket is closed. */
const END_MS = 2000;

/** A passt of its own, which ends with the port, or with this process. @throws XennerError (rejection) EPASST */
export async function openPasstPort(options: PasstOptions = {}): Promise<NetPort> {
  const { program = 'passt' } = options;
  // One end of a pair of sockets: nobody else can connect, and passt ends when ours is closed, however that comes about.
  const { ours, theirs } = socketPair(SOCKET_BYTES);
  try {
    const child = spawn(program, passtArguments(options), { stdio: ['ignore', 'ignore', 'pipe', theirs] });
    await once(child, 'spawn');
    return new PasstPort(child, ours);
  } catch (cause) {
    ours.destroy();
    const why =
      (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'it is not there' : (cause as Error).message;
    throw new XennerError('EPASST', `cannot start ${program}: ${why}`, 'install the package passt', {
      cause,
    });
  } finally {
    closeSync(theirs);
  }
}

function passtArguments({ tcpPorts = [], udpPorts = [], mtu }: PasstOptions): string[] {
  return [
    ...['--foreground', '--stderr', '--fd', `${SOCKET_FD}`],
    ...(mtu === undefined ? [] : ['--mtu', `${mtu}`]),
    ...tcpPorts.flatMap((ports) => ['--tcp-ports', ports]),
    ...udpPorts.flatMap((ports) => ['--udp-ports', ports]),
  ];
}

class PasstPort extends StreamPort {
  readonly #child: ChildProcess;
  #log = '';

  constructor(child: ChildProcess, socket: Socket) {
    // It ends connections: what comes from it has been on no wire.
    super('passt', socket, true);
    this.#child = child;
    const errors = child.stderr as Readable & { unref(): void };
    errors.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-MAX_LOG_CHARACTERS);
    });
    // It must never keep the process alive.
    for (const handle of [child, socket, errors]) handle.unref();
    child.once('close', (code, signal) => {
      const lines = this.#log
        .trim()
        .split('\n')
        .filter((line) => !NOISE.test(line));
      const why = lines.at(-1) || `exit status ${code ?? signal}`;
      this.fail(new XennerError('EPASST', `passt has ended: ${why}`));
    });
  }

  /** passt itself says why. */
  protected override ended(): void {
    this.#child.kill();
  }

  override async close(): Promise<void> {
    await super.close();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const late = setTimeout(() => this.#child.kill('SIGKILL'), END_MS);
    await once(this.#child, 'exit');
    clearTimeout(late);
  }
}
