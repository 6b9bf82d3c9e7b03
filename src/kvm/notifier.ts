/** Wakes a thread's event loop from any thread. */
import { loadAddon } from './addon.js';

export interface Notifier {
  /** For `notify`. */
  readonly id: number;
  /** Whether it keeps the process alive; at first it does not. */
  hold(held: boolean): void;
  /** Idempotent. Without it the callback is kept for ever. */
  close(): void;
}

/** `callback` runs on the calling thread's event loop. */
export function createNotifier(callback: () => void): Notifier {
  return new (loadAddon().Notifier)(callback);
}

/** Any thread. Signals that come before the callback ran become one call; ids of closed notifiers are ignored. */
export function notify(id: number): void {
  loadAddon().notify(id);
}
