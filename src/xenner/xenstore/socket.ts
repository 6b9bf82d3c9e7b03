/** The store for programs of the host, over a Unix socket: libxenstore finds it by XENSTORED_PATH. */
import { once } from 'node:events';
import { lstatSync, unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { XennerError } from '../../base/errors.js';
import { MAX_XENSTORE_CLIENTS } from '../../base/limits.js';
import { XENSTORE_PAYLOAD_MAX } from '../abi/xs-wire.js';
import { Connection } from './connection.js';
import type { Xenstore } from './store.js';
import { ProtocolError } from './wire.js';

/** sockaddr_un.sun_path, with its NUL. */
const MAX_PATH_BYTES = 107;

/** One client, who may do what domain 0 may. */
class SocketClient {
  readonly #connection: Connection;
  #busy = false;

  constructor(
    store: Xenstore,
    private readonly socket: Socket,
  ) {
    this.#connection = new Connection(store, 0, {
      ready: () => this.#write(),
      // What it watches would be wrong from now on.
      overflow: () => socket.destroy(),
    });
    socket.on('readable', () => this.#service());
    socket.on('drain', () => this.#service());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#connection.close());
  }

  #service(): void {
    this.#busy = true;
    try {
      this.#read();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.socket.destroy();
    } finally {
      this.#busy = false;
    }
    this.#write();
  }

  #read(): void {
    for (;;) {
      this.#write(true);
      if (!this.#connection.listening) return;
      const bytes = this.socket.read(
        Math.min(this.#connection.wanted, Math.max(1, this.socket.readableLength)),
      );
      if (bytes === null) return;
      this.#connection.feed(bytes as Buffer);
    }
  }

  #write(now = !this.#busy): void {
    while (now && !this.socket.destroyed && !this.socket.writableNeedDrain) {
      const bytes = this.#connection.take(XENSTORE_PAYLOAD_MAX);
      if (bytes.length === 0) return;
      this.socket.write(bytes);
    }
  }
}

export class XenstoreSocket {
  readonly #clients = new Set<Socket>();

  private constructor(
    readonly path: string,
    private readonly server: Server,
    store: Xenstore,
  ) {
    server.maxConnections = MAX_XENSTORE_CLIENTS;
    server.on('connection', (socket) => {
      this.#clients.add(socket);
      socket.on('close', () => this.#clients.delete(socket));
      new SocketClient(store, socket);
    });
  }

  /**
   * Only the user whose process it is can connect. A socket that nobody listens at any more is replaced.
   * @throws XennerError EXENSTORE_SOCKET
   */
  static async listen(store: Xenstore, path: string): Promise<XenstoreSocket> {
    if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw unusable(path, 'the path is too long');
    await removeStale(path);
    const server = createServer();
    const socket = new XenstoreSocket(path, server, store);
    // listen() binds before it returns: nobody can come in before the mode is right.
    const umask = process.umask(0o177);
    try {
      server.listen(path);
    } finally {
      process.umask(umask);
    }
    try {
      await once(server, 'listening');
    } catch (error) {
      throw unusable(path, (error as Error).message, error);
    }
    return socket;
  }

  /** Ends every connection and removes the socket. Idempotent. */
  async close(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    if (!this.server.listening) return;
    this.server.close();
    await once(this.server, 'close');
  }
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw unusable(path, 'there is something else');
  const probe = createConnection(path);
  try {
    await once(probe, 'connect');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') {
      throw unusable(path, (error as Error).message, error);
    }
    unlinkSync(path);
    return;
  } finally {
    probe.destroy();
  }
  throw unusable(path, 'a store listens there');
}

function unusable(path: string, why: string, cause?: unknown): XennerError {
  return new XennerError('EXENSTORE_SOCKET', `xenstore socket ${path}: ${why}`, 'choose another path', {
    cause,
  });
}
