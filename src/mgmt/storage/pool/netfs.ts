/** Pools of the type netfs: what another host serves by NFS, CIFS or GlusterFS. */
import type { PoolBackend } from './backend.js';
import type { PoolSource } from './definition.js';
import { PoolError, quoted } from './errors.js';
import { mountedFolder } from './mounts.js';
import { run } from './program.js';

const mounted = mountedFolder(({ source }) => {
  const { format = 'auto', dir = '/', protocolVersion } = source;
  const host = hostOf(source);
  const served = host.includes(':') ? `[${host}]` : host;
  if (format === 'cifs') return { source: `//${host}${dir}`, type: 'cifs', options: ['guest'] };
  return {
    source: `${served}:${dir}`,
    type: format === 'auto' ? undefined : format,
    options: [
      ...(format === 'glusterfs' ? ['direct-io-mode=1'] : []),
      ...(protocolVersion === undefined ? [] : [`nfsvers=${protocolVersion}`]),
    ],
  };
});

export const netfsBackend: PoolBackend = {
  ...mounted,
  findSources: async (search) => {
    const host = hostOf(search);
    const list = await run('showmount', ['--no-headers', '--exports', '--', host]);
    const folders = [...list.matchAll(/^(\/\S*)/gm)].map(([, dir]) => dir!);
    if (folders.length === 0)
      throw new PoolError('VIR_ERR_OPERATION_FAILED', `no storage pools were found on host ${quoted(host)}`);
    return folders.map((dir) => ({ hosts: [{ name: host }], devices: [], dir, format: 'nfs' }));
  },
};

/** It becomes a word of command lines of programs that others wrote. @throws PoolError VIR_ERR_INVALID_ARG */
export function hostOf({ hosts }: PoolSource): string {
  const name = hosts[0]?.name;
  if (name === undefined)
    throw new PoolError('VIR_ERR_INVALID_ARG', 'hostname must be specified for such sources');
  if (/^[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,254}$/.test(name)) return name;
  throw new PoolError('VIR_ERR_INVALID_ARG', `${quoted(name)} is no name or address of a host`);
}
