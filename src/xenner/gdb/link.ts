/** The main thread's end of a domain's debugger. */
import type { MessagePort } from 'node:worker_threads';
import type { DebugAnswers, DebugReply, DebugRequest, Stop } from './messages.js';

export class DebugLink {
  /** In the order of their requests, as the answers are. */
  readonly #waiting: ((value: unknown) => void)[] = [];
  #closed = false;

  /**
   * @param wake makes the vCPU thread look at its port
   * @param stopped all vCPUs have stopped
   */
  constructor(
    private readonly port: MessagePort,
    private readonly wake: () => void,
    stopped: (stop: Stop) => void,
  ) {
    port.on('message', (reply: DebugReply) => {
      if (reply.type === 'stop') stopped(reply);
      else this.#waiting.shift()?.(reply.value);
    });
    port.unref();
  }

  /**
   * Undefined: only a guest that stands still has an answer, or the domain has ended.
   * @param answered called before anything that the vCPU thread has said after its answer
   */
  ask<R extends DebugRequest>(request: R, answered = () => {}): Promise<DebugAnswers[R['op']] | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    const answer = new Promise<unknown>((resolve) => {
      this.#waiting.push((value) => {
        answered();
        resolve(value);
      });
    });
    this.port.postMessage(request);
    this.wake();
    return answer as Promise<DebugAnswers[R['op']] | undefined>;
  }

  /** Idempotent. */
  close(): void {
    this.#closed = true;
    this.port.close();
    for (const resolve of this.#waiting.splice(0)) resolve(undefined);
  }
}
