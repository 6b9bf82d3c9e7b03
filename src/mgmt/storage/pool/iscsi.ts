/** Pools of the type iscsi: the logical units of a target, by open-iscsi's initiator. */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PoolBackend } from './backend.js';
import type { PoolDefinition, PoolSource } from './definition.js';
import { PoolError, quoted } from './errors.js';
import { hostOf } from './netfs.js';
import { run, settleDevices } from './program.js';
import { unitPools } from './scsi.js';
import { attribute, namesIn, rescanHost } from './scsi-host.js';

const SYS = '/sys';
const DEFAULT_PORT = 3260;
/** The kernel finds the target's units when the session is there. */
const SESSION_MS = 10_000;

export const iscsiBackend: PoolBackend = {
  ...unitPools(SYS, (pool) => sessionOf(pool.source) ?? notLoggedIn(pool)),
  rootFor: 'logging in takes CAP_SYS_ADMIN',
  findSources,
  start: async (pool) => {
    const source = withPort(pool.source);
    if (sessionOf(source) === undefined) await logIn(source);
    await settleDevices();
    return { ...pool, source };
  },
  stop: async ({ source }) => {
    if (sessionOf(source) !== undefined) await run('iscsiadm', [...node(withPort(source)), '--logout']);
  },
};

function notLoggedIn({ source }: PoolDefinition): never {
  throw new PoolError(
    'VIR_ERR_INTERNAL_ERROR',
    `there is no session with ${quoted(targetOf(source))}`,
    'stop the pool and start it again',
  );
}

const targetOf = ({ devices }: PoolSource) => devices[0]!;

function withPort(source: PoolSource): PoolSource {
  const [host, ...others] = source.hosts;
  return { ...source, hosts: [{ name: hostOf(source), port: host!.port ?? DEFAULT_PORT }, ...others] };
}

function portal(source: PoolSource): string {
  const name = hostOf(source);
  return `${name.includes(':') ? `[${name}]` : name}:${source.hosts[0]!.port}`;
}

const node = (source: PoolSource) => [
  '--mode',
  'node',
  '--portal',
  portal(source),
  '--targetname',
  targetOf(source),
];

/** The SCSI host of the session with the target, with the initiator's name if one is wanted; undefined: there is none. */
function sessionOf({ devices, initiator }: PoolSource): number | undefined {
  for (const name of namesIn(SYS, 'class/iscsi_session')) {
    const folder = join(SYS, 'class/iscsi_session', name);
    if (attribute(folder, 'targetname') !== devices[0]) continue;
    if (initiator !== undefined && attribute(folder, 'initiatorname') !== initiator) continue;
    const host = /\/host(\d+)\/session/.exec(realpathSync(folder))?.[1];
    if (host !== undefined) return Number(host);
  }
  return undefined;
}

async function logIn(source: PoolSource): Promise<void> {
  await discover(source, []);
  // Only this pool is to decide when.
  await run('iscsiadm', [...node(source), '--op', 'update', '--name', 'node.startup', '--value', 'manual']);
  await run('iscsiadm', [...node(source), '--login']);
  for (const until = Date.now() + SESSION_MS; sessionOf(source) === undefined; await delay(20))
    if (Date.now() > until) throw new PoolError('VIR_ERR_OPERATION_FAILED', 'the session does not begin');
  rescanHost(SYS, sessionOf(source)!);
}

/** All targets that are served there. */
async function discover(source: PoolSource, more: readonly string[]): Promise<string[]> {
  const face = source.initiator === undefined ? [] : ['--interface', await interfaceFor(source.initiator)];
  const words = ['--mode', 'discovery', '--type', 'sendtargets', '--portal', portal(source)];
  const text = await run('iscsiadm', [...words, ...face, ...more]);
  return text.split('\n').flatMap((line) => /^\S+ (\S+)$/.exec(line)?.[1] ?? []);
}

/** open-iscsi's, which has the name of an initiator that is not the host's own. */
async function interfaceFor(initiator: string): Promise<string> {
  const name = `xenner-${createHash('sha256').update(initiator).digest('hex').slice(0, 16)}`;
  const face = ['--mode', 'iface', '--interface', name];
  // 15: it is there already.
  await run('iscsiadm', [...face, '--op', 'new'], { good: [0, 15] });
  await run('iscsiadm', [...face, '--op', 'update', '--name', 'iface.initiatorname', '--value', initiator]);
  return name;
}

async function findSources(search: PoolSource): Promise<PoolSource[]> {
  const source = withPort(search);
  const targets = await discover(source, ['--op', 'nonpersistent']);
  return targets.map((target) => ({ hosts: source.hosts.slice(0, 1), devices: [target] }));
}
