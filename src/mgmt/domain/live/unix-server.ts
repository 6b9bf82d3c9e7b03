/** Servers on sockets in a domain's folder, which only its user can reach. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

export class UnixServer {
  readonly #clients = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  /** @param serve has the socket's errors dealt with already: it is closed then */
  static async listen(
    path: string,
    maxClients: number,
    serve: (socket: Socket) => void,
  ): Promise<UnixServer> {
    const server = createServer();
    const unixServer = new UnixServer(server);
    server.maxConnections = maxClients;
    server.on('connection', (socket) => {
      unixServer.#clients.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => unixServer.#clients.delete(socket));
      serve(socket);
    });
    server.listen(path);
    await once(server, 'listening');
    return unixServer;
  }

  get clients(): ReadonlySet<Socket> {
    return this.#clients;
  }

  /** What was written before goes out first, to clients that read. */
  close(): void {
    this.server.close();
    for (const client of this.#clients) client.destroySoon();
  }
}
