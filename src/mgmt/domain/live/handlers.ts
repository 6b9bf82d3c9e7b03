/** What a live domain does when it is asked, by command. What clients send is looked at here. */
import { isAbsolute } from 'node:path';
import { XennerError } from '../../../base/errors.js';
import type { JsonObject } from '../config/json.js';
import type { ControlHandlers } from './control-server.js';
import type { LiveDomain } from './live-domain.js';
import { nodesBelow, withStore } from './store.js';

function text(value: unknown, name: string): string {
  if (typeof value === 'string' && !value.includes('\0')) return value;
  throw new XennerError('EINVAL', `${name}: a text is needed`);
}

function absolute(value: unknown, name: string): string {
  const path = text(value, name);
  if (isAbsolute(path)) return path;
  throw new XennerError('EINVAL', `${name}: an absolute path is needed`);
}

function number(value: unknown, name: string): number {
  if (typeof value === 'number') return value;
  throw new XennerError('EINVAL', `${name}: a number is needed`);
}

function object(value: unknown, name: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new XennerError('EINVAL', `${name}: an object is needed`);
}

export function handlersOf(live: LiveDomain): ControlHandlers {
  const done = async (act: () => unknown) => {
    await act();
    return null;
  };
  return {
    info: async () => live.info(),
    usage: async () => live.usage(),
    pause: () => done(() => live.pause()),
    unpause: () => done(() => live.unpause()),
    destroy: () => done(() => live.destroy()),
    shutdown: ({ request }) =>
      done(() => {
        if (request !== 'poweroff' && request !== 'reboot')
          throw new XennerError('EINVAL', 'request: poweroff or reboot');
        live.running.control.shutdown(request);
      }),
    wait: () => live.nextEnd(),
    sysrq: ({ key }) => done(() => live.running.control.sysrq(text(key, 'key'))),
    'mem-set': ({ memoryMiB }) => done(() => live.setMemory(number(memoryMiB, 'memoryMiB'))),
    'vcpu-set': ({ count }) => done(() => live.setVcpus(number(count, 'count'))),
    rename: ({ name }) => done(() => live.rename(text(name, 'name'))),
    'dump-core': ({ path }) => done(() => live.dumpCore(absolute(path, 'path'))),
    save: ({ path, goOn, pause, config }) =>
      done(() => {
        const how = { goOn: goOn === true, pause: pause === true };
        return live.save(
          absolute(path, 'path'),
          how,
          config === undefined ? undefined : object(config, 'config'),
        );
      }),
    'xenstore-ls': async ({ path }) => {
      const from = text(path, 'path');
      return withStore(live.running, (store) => nodesBelow(store, from));
    },
    'block-list': async () => live.disks.list(live.running),
    'block-attach': ({ spec, folder }) =>
      done(() => live.disks.attach(live.running, text(spec, 'spec'), absolute(folder, 'folder'))),
    'block-detach': ({ device, force }) =>
      done(() => live.disks.detach(live.running, text(device, 'device'), force === true)),
    'network-list': async () => live.nics.list(live.running),
    'network-attach': ({ spec }) => done(() => live.nics.attach(live.running, text(spec, 'spec'))),
    'network-detach': ({ device, force }) =>
      done(() => live.nics.detach(live.running, text(device, 'device'), force === true)),
  };
}
