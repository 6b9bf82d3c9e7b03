/** Hosts that are not this one: folders with the files of sysfs and procfs that tell of a machine, as its kernel would have them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { formatList, HostFiles } from '../../../../src/mgmt/host/host-files.js';

export interface MachineShape {
  sockets: number;
  nodesPerSocket: number;
  coresPerNode: number;
  threadsPerCore: number;
  offline?: readonly number[];
  /** Of each node. */
  memoryKiB: number;
  /** No folder of nodes at all, as without CONFIG_NUMA. */
  noNuma?: true;
  hugepages?: Readonly<Record<number, number>>;
}

export type Files = Record<string, string>;
const SYSTEM = 'sys/devices/system';

interface PlacedCpu {
  cpu: number;
  socket: number;
  node: number;
  core: number;
  siblings: number[];
}

/** Linux numbers all first threads before all second ones. */
function placeCpus(shape: MachineShape): PlacedCpu[] {
  const { sockets, nodesPerSocket, coresPerNode, threadsPerCore, offline = [] } = shape;
  const cores = sockets * nodesPerSocket * coresPerNode;
  return Array.from({ length: cores * threadsPerCore }, (_, cpu) => {
    const core = cpu % cores;
    const node = Math.floor(core / coresPerNode);
    const siblings = Array.from({ length: threadsPerCore }, (_, thread) => core + thread * cores);
    return {
      cpu,
      node,
      socket: Math.floor(node / nodesPerSocket),
      core: core % (coresPerNode * nodesPerSocket),
      siblings: siblings.filter((each) => !offline.includes(each)),
    };
  });
}

function mask(cpus: readonly number[]): string {
  const bits = cpus.reduce((all, cpu) => all | (1n << BigInt(cpu)), 0n);
  return bits.toString(16).padStart(8, '0');
}

function cpuFiles(all: readonly PlacedCpu[], online: readonly number[]): Files {
  const files: Files = {
    [`${SYSTEM}/cpu/present`]: formatList(all.map(({ cpu }) => cpu)),
    [`${SYSTEM}/cpu/possible`]: formatList(all.map(({ cpu }) => cpu)),
    [`${SYSTEM}/cpu/online`]: formatList(online),
  };
  for (const { cpu, socket, core, node, siblings } of all) {
    const home = `${SYSTEM}/cpu/cpu${cpu}`;
    files[`${home}/online`] = online.includes(cpu) ? '1' : '0';
    if (!online.includes(cpu)) continue;
    files[`${home}/topology/physical_package_id`] = `${socket}`;
    files[`${home}/topology/die_id`] = `${node}`;
    files[`${home}/topology/core_id`] = `${core}`;
    files[`${home}/topology/thread_siblings_list`] = formatList(siblings);
    const near = all.filter((other) => other.node === node && online.includes(other.cpu));
    const caches = [
      { index: 0, level: 1, id: cpu, type: 'Data', size: '32K', cpus: siblings },
      { index: 3, level: 3, id: node, type: 'Unified', size: '33792K', cpus: near.map((each) => each.cpu) },
    ];
    for (const { index, level, id, type, size, cpus } of caches) {
      const bank = `${home}/cache/index${index}`;
      Object.assign(files, {
        [`${bank}/level`]: `${level}`,
        [`${bank}/id`]: `${id}`,
        [`${bank}/type`]: type,
      });
      Object.assign(files, { [`${bank}/size`]: size, [`${bank}/shared_cpu_list`]: formatList(cpus) });
    }
  }
  return files;
}

export function poolFiles(directory: string, total: number, free = total): Files {
  return {
    [`${directory}/nr_hugepages`]: `${total}\n`,
    [`${directory}/free_hugepages`]: `${free}\n`,
    [`${directory}/surplus_hugepages`]: '0\n',
  };
}

function nodeFiles(shape: MachineShape, all: readonly PlacedCpu[], online: readonly number[]): Files {
  const nodes = shape.sockets * shape.nodesPerSocket;
  const files: Files = { [`${SYSTEM}/node/online`]: `0-${nodes - 1}` };
  for (let node = 0; node < nodes; node++) {
    const home = `${SYSTEM}/node/node${node}`;
    const own = all.filter((each) => each.node === node);
    const cpus = own.map(({ cpu }) => cpu).filter((cpu) => online.includes(cpu));
    const socketOf = (of: number) => Math.floor(of / shape.nodesPerSocket);
    const distance = (to: number) => (to === node ? 10 : socketOf(to) === socketOf(node) ? 12 : 32);
    files[`${home}/distance`] = `${Array.from({ length: nodes }, (_, to) => distance(to)).join(' ')}\n`;
    files[`${home}/cpulist`] = `${formatList(cpus)}\n`;
    files[`${home}/cpumap`] = `${mask(cpus)}\n`;
    files[`${home}/meminfo`] =
      `Node ${node} MemTotal:       ${shape.memoryKiB} kB\nNode ${node} MemFree:        ${shape.memoryKiB / 2 + node} kB\n`;
    for (const { cpu } of own) files[`${home}/cpu${cpu}/node`] = '';
    for (const [sizeKiB, total] of Object.entries(shape.hugepages ?? {}))
      Object.assign(files, poolFiles(`${home}/hugepages/hugepages-${sizeKiB}kB`, total));
  }
  return files;
}

export function machineFiles(shape: MachineShape): Files {
  const all = placeCpus(shape);
  const online = all.map(({ cpu }) => cpu).filter((cpu) => !shape.offline?.includes(cpu));
  const nodes = shape.sockets * shape.nodesPerSocket;
  const totalKiB = nodes * shape.memoryKiB;
  const pools = Object.entries(shape.hugepages ?? {}).map(([sizeKiB, total]) =>
    poolFiles(`sys/kernel/mm/hugepages/hugepages-${sizeKiB}kB`, nodes * total),
  );
  return {
    ...cpuFiles(all, online),
    ...(shape.noNuma ? {} : nodeFiles(shape, all, online)),
    ...Object.assign({}, ...pools),
    'proc/meminfo': `MemTotal:       ${totalKiB} kB\nMemFree:        ${totalKiB / 2} kB\nMemAvailable:   ${totalKiB / 2} kB\nBuffers:            1000 kB\nCached:            20000 kB\n`,
    'proc/cpuinfo':
      'vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: A CPU of tests\nstepping\t: 8\nmicrocode\t: 0x2b000590\ncpu MHz\t\t: 2100.000\naddress sizes\t: 52 bits physical, 57 bits virtual\n',
    'proc/stat': `cpu  ${[...'1234567'].join('00 ')} 0 0 0\ncpu0 ${[...'1234567'].join(' ')} 0 0 0\nintr 1\n`,
  };
}

const roots: string[] = [];

export function removeMachines(): void {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
}

export function machine(files: Readonly<Record<string, string | Buffer>>): HostFiles {
  const root = mkdtempSync(join(tmpdir(), 'xenner-host-'));
  roots.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return new HostFiles(root);
}
