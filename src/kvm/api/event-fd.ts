/** An eventfd: signalled by a guest through KvmVm.ioeventfd(), or signals a guest through KvmVm.irqfd(). */
import { loadAddon } from '../addon.js';
import { createNotifier, type Notifier } from '../notifier.js';
import type { NativeEventFd } from './native.js';

export class EventFd {
  readonly native: NativeEventFd;
  #notifier: Notifier | undefined;

  constructor() {
    this.native = new (loadAddon().EventFd)();
  }

  /** The descriptor's number, which stays this object's. */
  get fd(): number {
    return this.native.fd;
  }

  signal(): void {
    this.native.signal();
  }

  /** How many signals came since the last call. */
  take(): number {
    return this.native.take();
  }

  /**
   * Calls back on this thread's event loop with the number of signals since the last call. Several may become one. Does not
   * keep the process alive. Once for an EventFd.
   */
  onSignal(callback: (signals: number) => void): void {
    const notifier = createNotifier(() => {
      // A call may be on its way while this object is closed.
      const signals = this.#notifier === undefined ? 0 : this.take();
      if (signals > 0) callback(signals);
    });
    try {
      this.native.notify(notifier.id);
    } catch (error) {
      notifier.close();
      throw error;
    }
    this.#notifier = notifier;
  }

  /** Idempotent. KVM goes on holding the descriptor where irqfd() or ioeventfd() gave it one. */
  close(): void {
    this.#notifier?.close();
    this.#notifier = undefined;
    this.native.close();
  }
}
