/** A domain's console for whoever connects: what it printed last, and from then on all that it prints. All may type. */
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { UnixServer } from './unix-server.js';

export const CONSOLE_HISTORY_BYTES = 64 * 1024;
const MAX_CONSOLE_CLIENTS = 16;
/** For a client that does not read. The guest is not to wait for it: it is let go. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

export class ConsoleServer {
  #history: Buffer = Buffer.alloc(0);
  #server: UnixServer | undefined;
  #joined = () => {};

  /** @param type false: wait for resumeInput() before there is more */
  constructor(private readonly type: (typed: Buffer) => boolean) {}

  async listen(path: string): Promise<void> {
    this.#server = await UnixServer.listen(path, MAX_CONSOLE_CLIENTS, (socket) => {
      socket.write(this.#history);
      this.#joined();
      socket.on('data', (typed) => {
        if (!this.type(typed)) socket.pause();
      });
    });
  }

  /** Somebody sees it. */
  get isWatched(): boolean {
    return (this.#server?.clients.size ?? 0) > 0;
  }

  /** Resolves when somebody sees it, or nobody did within the time. */
  async watched(timeoutMs: number): Promise<void> {
    if (this.isWatched) return;
    const late = new AbortController();
    await Promise.race([
      new Promise<void>((resolve) => {
        this.#joined = resolve;
      }),
      delay(timeoutMs, undefined, { signal: late.signal }).catch(() => {}),
    ]);
    late.abort();
  }

  output(chunk: Buffer): void {
    this.#history = Buffer.concat([this.#history, chunk]).subarray(-CONSOLE_HISTORY_BYTES);
    for (const client of this.#clients) {
      client.write(chunk);
      if (client.writableLength > MAX_UNREAD_BYTES) client.destroy();
    }
  }

  resumeInput(): void {
    for (const client of this.#clients) client.resume();
  }

  close(): void {
    this.#server?.close();
  }

  get #clients(): Iterable<Socket> {
    return this.#server?.clients ?? [];
  }
}
