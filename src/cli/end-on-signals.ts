/** What ends a process ends its domain first. */
import type { LiveDomain } from '../mgmt/domain/live/live-domain.js';

export function endOnSignals(live: LiveDomain): void {
  const end = () => void live.destroy();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, end);
  void live.ended.then(() => {
    for (const signal of signals) process.off(signal, end);
  });
}
