/** The process of one domain: told what it is to be by `xenner create`, and from then on by its control socket. */
import { startLive } from '../mgmt/domain/live/define.js';
import type { SpawnReport, SpawnRequest } from '../mgmt/domain/live/spawn.js';
import { endOnSignals } from './end-on-signals.js';

const report = (message: SpawnReport) => {
  if (process.connected) process.send!(message);
};

process.once('message', async ({ definition, options, log }: SpawnRequest) => {
  process.title = `xenner: ${definition.name}`;
  const say = (text: string) => {
    process.stderr.write(`${new Date().toISOString()} ${text}\n`);
    report({ kind: 'said', text });
  };
  try {
    const starting = startLive(definition, options, say, {
      log,
      listening: (domid) => report({ kind: 'listening', domid }),
    });
    endOnSignals(starting);
    report({ kind: 'started', domid: (await starting).domid });
    if (process.connected) process.disconnect();
  } catch (error) {
    const { code = 'EINTERNAL', message } = error as NodeJS.ErrnoException;
    report({ kind: 'failed', code, message });
    process.exitCode = 1;
    if (process.connected) process.disconnect();
  }
});
