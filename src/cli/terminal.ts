/** Joins a guest's console to standard input and output, and gives the terminal back whatever happens. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { XennerError } from '../base/errors.js';

/** Ctrl-], as telnet, virsh and xl use it. */
const ESCAPE = 0x1d;
/** Typed before there is a guest. */
const MAX_EARLY_BYTES = 64 * 1024;

export interface TerminalOptions {
  /** A copy of all output. */
  readonly logFile?: string;
  /** The user pressed Ctrl-] or standard output is gone. */
  leave(error?: XennerError): void;
}

/** A guest's console: a Domain in this process, or a ConsoleClient of one elsewhere. */
export interface ConsolePeer {
  on(event: 'console', listener: (chunk: Buffer) => void): unknown;
  on(event: 'consoleDrained', listener: () => void): unknown;
  /** False: wait for `consoleDrained`. */
  writeConsole(data: Uint8Array): boolean;
  pauseConsole(): void;
  resumeConsole(): void;
}

export interface Terminal {
  /** Joins a domain's console. */
  attach(peer: ConsolePeer): void;
  /** Gives the terminal back; resolves when all output is written. Idempotent. */
  close(): Promise<void>;
}

class ConsoleLog {
  readonly #fd: number;

  constructor(private readonly path: string) {
    try {
      this.#fd = openSync(path, 'a', 0o600);
    } catch (error) {
      throw logError(path, error);
    }
  }

  write(chunk: Buffer): void {
    try {
      for (let at = 0; at < chunk.length; ) at += writeSync(this.#fd, chunk, at);
    } catch (error) {
      throw logError(this.path, error);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function logError(path: string, error: unknown): XennerError {
  const { message } = error as Error;
  return new XennerError('ECONSOLELOG', `cannot write the console log ${path}: ${message}`);
}

export function openTerminal(options: TerminalOptions): Terminal {
  const { stdin, stdout } = process;
  const log = options.logFile === undefined ? undefined : new ConsoleLog(options.logFile);
  const raw = stdin.isTTY === true;
  let domain: ConsolePeer | undefined;
  let closed = false;
  let early = Buffer.alloc(0);
  const type = (typed: Buffer): boolean => {
    if (domain !== undefined) return domain.writeConsole(typed);
    early = Buffer.concat([early, typed]);
    return early.length < MAX_EARLY_BYTES;
  };
  const input = (data: Buffer) => {
    const end = raw ? data.indexOf(ESCAPE) : -1;
    const typed = end < 0 ? data : data.subarray(0, end);
    if (typed.length > 0 && !type(typed)) stdin.pause();
    if (end >= 0) options.leave();
  };
  const gone = (error: NodeJS.ErrnoException) => {
    const failure = new XennerError('ESTDOUT', `cannot write to standard output: ${error.message}`);
    if (!closed) options.leave(failure);
  };
  const drained = () => domain?.resumeConsole();
  if (raw) stdin.setRawMode(true);
  stdin.on('data', input);
  stdin.on('error', () => stdin.pause());
  stdout.on('error', gone);
  stdout.on('drain', drained);
  return {
    attach(attached) {
      domain = attached;
      domain.on('consoleDrained', () => stdin.resume());
      if (early.length > 0 && domain.writeConsole(early)) stdin.resume();
      domain.on('console', (chunk) => {
        if (!stdout.write(chunk)) attached.pauseConsole();
        try {
          log?.write(chunk);
        } catch (error) {
          options.leave(error as XennerError);
        }
      });
    },
    async close() {
      if (closed) return;
      closed = true;
      stdin.off('data', input);
      stdin.pause();
      // A terminal keeps the process alive as long as its handle does.
      stdin.unref?.();
      if (raw) stdin.setRawMode(false);
      log?.close();
      if (!stdout.writableNeedDrain || stdout.destroyed) return;
      await new Promise<void>((resolve) => {
        stdout.once('drain', resolve);
        stdout.once('error', () => resolve());
      });
    },
  };
}
