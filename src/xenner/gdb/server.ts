/** The TCP port that a debugger connects to: one client at a time, of this host only. */
import { createServer, type Server, type Socket } from 'node:net';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { XennerError } from '../../base/errors.js';
import type { EndReason } from '../domain/messages.js';
import { DebugLink } from './link.js';
import { SIGNAL } from './messages.js';
import { Session } from './session.js';

const HOST = '127.0.0.1';
/** A client that has so many bytes of answers waiting does not read them. */
const MAX_UNREAD_BYTES = 1 << 20;

/** A guest that ended by itself has status 0, another one a signal. */
const END_REPLIES: Readonly<Partial<Record<EndReason, number>>> = {
  crash: SIGNAL.ABRT,
  watchdog: SIGNAL.ABRT,
  destroyed: SIGNAL.KILL,
};

export class GdbServer {
  readonly #server: Server;
  #link: DebugLink | undefined;
  #client: { readonly socket: Socket; session: Session | undefined } | undefined;

  private constructor(
    private readonly nrVcpus: number,
    private readonly kill: () => void,
  ) {
    this.#server = createServer((socket) => this.#connected(socket));
    this.#server.maxConnections = 1;
  }

  /**
   * @param port 0 is any that is free
   * @param kill ends the domain
   * @throws XennerError (rejection) EGDB_PORT
   */
  static async listen(port: number, nrVcpus: number, kill: () => void): Promise<GdbServer> {
    if (!(port >= 0 && port <= 0xffff)) throw new XennerError('EGDB_PORT', `gdb: ${port} is no TCP port`);
    const gdb = new GdbServer(nrVcpus, kill);
    await new Promise<void>((resolve, reject) => {
      gdb.#server.once('error', (error: NodeJS.ErrnoException) => {
        const why = error.code === 'EADDRINUSE' ? 'is in use' : `cannot be had (${error.code})`;
        reject(new XennerError('EGDB_PORT', `gdb: port ${port} ${why}`, 'take another one, or 0 for any'));
      });
      gdb.#server.listen(port, HOST, resolve);
    });
    gdb.#server.unref();
    return gdb;
  }

  get port(): number {
    const address = this.#server.address();
    return address !== null && typeof address === 'object' ? address.port : 0;
  }

  /** For a start of the guest: the vCPU thread's end of the line. */
  openLine(wake: () => void): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#link = new DebugLink(port1, wake, (stop) => this.#client?.session?.stopped(stop));
    return port2;
  }

  /** The guest is about to begin. */
  started(): void {
    this.#begin();
  }

  /** That start is over; there may be another one. */
  ended(reason: EndReason): void {
    const signal = END_REPLIES[reason];
    const reply = signal === undefined ? 'W00' : `X${signal.toString(16).padStart(2, '0')}`;
    this.#client?.session?.ended(reply);
    this.#link?.close();
    this.#link = undefined;
  }

  /** Idempotent. */
  close(): void {
    this.#server.close();
    this.#client?.socket.destroySoon();
  }

  #connected(socket: Socket): void {
    const client = { socket, session: undefined as Session | undefined };
    // The last one is gone, or this one would not be here; its `close` may still be on its way.
    this.#client?.session?.leave();
    this.#client = client;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#received(client, chunk));
    // Whatever goes wrong, `close` follows.
    socket.on('error', () => {});
    socket.on('close', () => {
      client.session?.leave();
      if (this.#client === client) this.#client = undefined;
    });
    this.#begin();
  }

  /** Once there are both a client and a guest. Until then what the client says stays in its socket. */
  #begin(): void {
    const [client, link] = [this.#client, this.#link];
    if (client === undefined || client.session !== undefined) return;
    if (link === undefined) {
      client.socket.pause();
      return;
    }
    const { socket } = client;
    client.session = new Session(
      { nrVcpus: this.nrVcpus, ask: (request, answered) => link.ask(request, answered) },
      {
        send: (bytes) => void socket.write(bytes),
        drained: () => drained(socket),
        close: () => socket.destroySoon(),
        kill: this.kill,
      },
    );
    client.session.begin();
    socket.resume();
  }

  #received({ socket, session }: { socket: Socket; session: Session | undefined }, chunk: Buffer): void {
    if (socket.writableLength > MAX_UNREAD_BYTES) {
      socket.destroy();
      return;
    }
    try {
      session?.feed(chunk);
    } catch {
      socket.destroy();
    }
  }
}

function drained(socket: Socket): Promise<void> {
  if (socket.destroyed || !socket.writableNeedDrain) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.once('drain', done).once('close', done);
  });
}
