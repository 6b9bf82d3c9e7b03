/** Asks a live domain's process: the typed other end of src/mgmt/domain/live/control-server.ts. */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { XennerError } from '../../base/errors.js';
import {
  CONTROL_VERSION,
  type ControlArguments,
  type ControlCommand,
  type ControlError,
  type ControlResult,
  LineReader,
  MAX_CONTROL_LINE_BYTES,
  type UsageInfo,
} from './live/control.js';
import { FILES, type FoundDomain } from './live/runtime-directory.js';

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: ControlError;
}

export class DomainClient {
  readonly #answers = new Map<number, { resolve(result: never): void; reject(error: Error): void }>();
  readonly #closed: Promise<void>;
  #lastId = 0;

  private constructor(
    private readonly name: string,
    private readonly socket: Socket,
  ) {
    const lines = new LineReader(MAX_CONTROL_LINE_BYTES);
    socket.on('error', () => socket.destroy());
    socket.setEncoding('utf8').on('data', (text) => {
      for (const line of lines.feed(text as unknown as string)) this.#take(JSON.parse(line) as Answer);
    });
    // Not by once(), which an error rejects: a process that is killed resets the connection.
    this.#closed = new Promise((resolve) => socket.once('close', resolve)).then(() => {
      for (const { reject } of this.#answers.values()) reject(this.#gone());
    });
  }

  /** @throws XennerError (rejection) ENO_DOMAIN: it has just ended */
  static async connect({ name, path }: Pick<FoundDomain, 'name' | 'path'>): Promise<DomainClient> {
    const socket = createConnection(`${path}/${FILES.control}`);
    try {
      await once(socket, 'connect');
    } catch (cause) {
      throw new XennerError('ENO_DOMAIN', `domain ${name} does not answer: ${(cause as Error).message}`);
    }
    return new DomainClient(name, socket);
  }

  /** @throws XennerError (rejection) whatever the domain's process says; ENO_DOMAIN when it ends meanwhile */
  call<C extends ControlCommand>(command: C, given: ControlArguments<C>): Promise<ControlResult<C>> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) throw this.#gone();
      this.#answers.set(id, { resolve, reject });
      this.socket.write(`${JSON.stringify({ version: CONTROL_VERSION, id, command, arguments: given })}\n`);
    });
  }

  /** Resolves when the domain's process has closed its sockets, which is after it has removed its folder; or after close(). */
  get closed(): Promise<void> {
    return this.#closed;
  }

  close(): void {
    this.socket.destroy();
  }

  #take({ id, result, error }: Answer): void {
    const waiting = this.#answers.get(id);
    this.#answers.delete(id);
    if (error === undefined) waiting?.resolve(result as never);
    else waiting?.reject(new XennerError(error.code, error.message));
  }

  #gone(): XennerError {
    return new XennerError('ENO_DOMAIN', `domain ${this.name} has ended`);
  }
}

/** Of a process that does not answer: it hangs, or is stopped. */
const USAGE_TIMEOUT_MS = 3000;

/** For lists, which one domain must not hold up: undefined if it has just ended, or does not answer. */
export async function usageOf(domain: FoundDomain): Promise<UsageInfo | undefined> {
  let timer: NodeJS.Timeout | undefined;
  try {
    const client = await DomainClient.connect(domain);
    timer = setTimeout(() => client.close(), USAGE_TIMEOUT_MS);
    return await client.call('usage', {}).finally(() => client.close());
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** One question. */
export async function ask<C extends ControlCommand>(
  domain: FoundDomain,
  command: C,
  given: ControlArguments<C>,
): Promise<ControlResult<C>> {
  const client = await DomainClient.connect(domain);
  try {
    return await client.call(command, given);
  } finally {
    client.close();
  }
}
