/** What ends a process ends its domain first. */
import type { LiveDomain } from '../mgmt/domain/live/live-domain.js';

/** @param starting from before there is anything to be cleaned up; it fails for whoever waits for it */
export function endOnSignals(starting: Promise<LiveDomain>): void {
  const end = () => void starting.then((live) => live.destroy()).catch(() => {});
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, end);
  const over = () => {
    for (const signal of signals) process.off(signal, end);
  };
  starting.then((live) => live.ended).then(over, over);
}
