/** The host in the eight figures of libvirt's virNodeInfo. */
import { machine } from 'node:os';
import { cells } from './cells.js';
import { type CpuPlace, cpuIdentity, cpuMap, cpuPlace } from './cpus.js';
import { type HostFiles, THIS_HOST } from './host-files.js';

export interface NodeInfo {
  /** uname's: x86_64. */
  readonly model: string;
  /** Online ones. */
  readonly cpus: number;
  readonly mhz: number;
  readonly nodes: number;
  /** Of one node, at most. */
  readonly sockets: number;
  /** Of one socket, and threads of one core, at most. */
  readonly cores: number;
  readonly threads: number;
  readonly memoryKiB: number;
}

/**
 * By the rules of virHostCPUGetInfoPopulateLinux: with CPUs that are offline, and where nodes differ, the four numbers of the topology
 * do not multiply to the number of CPUs, and then they are 1, 1, CPUs, 1.
 */
export function nodeInfo(host: HostFiles = THIS_HOST): NodeInfo {
  const all = cells(host);
  const { online } = cpuMap(host);
  const shapes = all.map(({ cpus }) => shapeOf(cpus.map((cpu) => cpuPlace(cpu, host))));
  const most = (of: 'sockets' | 'cores' | 'threads') => Math.max(...shapes.map((shape) => shape[of]));
  const shape = {
    nodes: all.length,
    sockets: most('sockets'),
    cores: most('cores'),
    threads: most('threads'),
  };
  const product = shape.nodes * shape.sockets * shape.cores * shape.threads;
  const present = (host.list('sys/devices/system/cpu/present') ?? online).length;
  return {
    model: machine(),
    cpus: online.length,
    mhz: cpuIdentity(host).mhz,
    ...(product === present ? shape : { nodes: 1, sockets: 1, cores: present, threads: 1 }),
    memoryKiB: all.reduce((sum, { memoryKiB }) => sum + memoryKiB, 0),
  };
}

function shapeOf(places: readonly CpuPlace[]) {
  const cores = new Map<number, Set<number>>();
  for (const { socket, core } of places) cores.set(socket, (cores.get(socket) ?? new Set()).add(core));
  return {
    sockets: cores.size,
    cores: Math.max(0, ...[...cores.values()].map(({ size }) => size)),
    threads: Math.max(0, ...places.map(({ siblings }) => siblings.length)),
  };
}
