/** The other end of a domain's console socket, with the face that a terminal wants (src/cli/terminal.ts). */
import { EventEmitter, once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { XennerError } from '../../../base/errors.js';
import { FILES, type FoundDomain } from './runtime-directory.js';

interface ConsoleEvents {
  console: [chunk: Buffer];
  consoleDrained: [];
}

export class ConsoleClient extends EventEmitter<ConsoleEvents> {
  /** The domain has ended, or we have. */
  readonly closed: Promise<void>;

  private constructor(private readonly socket: Socket) {
    super();
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => this.emit('console', chunk));
    socket.on('drain', () => this.emit('consoleDrained'));
    // Nothing is read before somebody listens.
    socket.pause();
    // Not by once(), which an error rejects.
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  /** @throws XennerError (rejection) ENO_DOMAIN */
  static async connect({ name, path }: Pick<FoundDomain, 'name' | 'path'>): Promise<ConsoleClient> {
    const socket = createConnection(`${path}/${FILES.console}`);
    try {
      await once(socket, 'connect');
    } catch (cause) {
      throw new XennerError('ENO_DOMAIN', `domain ${name} has no console: ${(cause as Error).message}`);
    }
    return new ConsoleClient(socket);
  }

  writeConsole(data: Uint8Array): boolean {
    return this.socket.write(data);
  }

  pauseConsole(): void {
    this.socket.pause();
  }

  resumeConsole(): void {
    this.socket.resume();
  }

  close(): void {
    this.socket.destroy();
  }
}
