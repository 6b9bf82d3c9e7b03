/** A debugger's side of the protocol, byte by byte. */
import { connect, type Socket } from 'node:net';
import { encodePacket, PacketReader } from '../../src/xenner/gdb/packet.js';

const TIMEOUT_MS = 60_000;

export class Client {
  readonly #reader = new PacketReader();
  readonly #packets: string[] = [];
  #wake = () => {};
  /** Everything that came, acknowledgements and all. */
  received = '';
  closed = false;

  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1');
      for (const input of this.#reader.feed(chunk)) this.#packets.push(input.toString('latin1'));
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  static connect(port: number): Promise<Client> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => resolve(new Client(socket)));
      socket.once('error', reject);
    });
  }

  /** The answer to a packet; undefined if the connection is closed instead. */
  ask(data: string): Promise<string | undefined> {
    this.socket.write(encodePacket(data));
    return this.packet();
  }

  async packet(): Promise<string | undefined> {
    await this.#until(() => this.#packets.length > 0);
    return this.#packets.shift();
  }

  async end(): Promise<void> {
    this.socket.destroy();
    await this.ended();
  }

  /** Resolves when the other end has closed the connection. */
  ended(): Promise<void> {
    return this.#until(() => false);
  }

  /** Until it holds, or nothing can come any more. */
  async #until(holds: () => boolean): Promise<void> {
    const late = Date.now() + TIMEOUT_MS;
    while (!holds() && !this.closed) {
      if (Date.now() > late) throw new Error(`no answer; so far: ${this.received.slice(-200)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
