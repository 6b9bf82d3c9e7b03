/** `xenner host`: what this machine offers for running guests. */
import { freemem, release, totalmem } from 'node:os';
import { Command } from 'commander';
import { XennerError } from '../../base/errors.js';
import {
  chooseEngine,
  type EngineName,
  type HostMemory,
  type HugepagePool,
  hasSoftCpu,
  hostMemory,
  type KvmProbe,
  probeKvm,
} from '../../kvm/index.js';
import { hasIommu } from '../../mgmt/host/capabilities.js';
import { cpuIdentity, cpuMap } from '../../mgmt/host/cpus.js';
import { type KernelFeature, kernelFeatures } from '../../mgmt/host/kernel-features.js';
import { type NodeInfo, nodeInfo } from '../../mgmt/host/node-info.js';
import { LATEST, PROFILES } from '../../xenner/profile/profiles.js';
import { printable } from '../printable.js';
import { json } from '../virsh-text.js';
import { sizeName } from './hugepages.js';

interface HostReport {
  /** What guests would run on; null when nothing can run them. */
  engine: EngineName | null;
  why: string;
  softCpu: boolean;
  /** ABI profiles, oldest first: the last one is `latest`. */
  profiles: string[];
  kvm: KvmProbe;
  cpu: { model: string; threads: number } & Pick<NodeInfo, 'sockets' | 'cores' | 'nodes' | 'mhz'>;
  memory: HostMemory & { totalMiB: number; availableMiB: number };
  /** Whether devices can be given to guests. */
  iommu: boolean;
  /** uname's release. */
  kernel: string;
  features: KernelFeature[];
}

const MIB = 2 ** 20;

/** Throws only when the addon does not load. */
async function hostReport(): Promise<HostReport> {
  let engine: EngineName | null = null;
  let why: string;
  let kvm: KvmProbe | undefined;
  try {
    const choice = chooseEngine('auto');
    engine = choice.engine.name;
    why = choice.why;
    kvm = choice.probe;
  } catch (error) {
    if (!(error instanceof XennerError) || error.code !== 'ENO_SOFT_CPU') throw error;
    why = error.message;
  }
  const { sockets, cores, nodes, mhz } = nodeInfo();
  const threads = cpuMap().online.length;
  return {
    engine,
    why,
    softCpu: hasSoftCpu(),
    profiles: PROFILES.map(({ name }) => name),
    kvm: kvm ?? probeKvm(),
    cpu: { model: cpuIdentity().model ?? 'unknown', threads, sockets, cores, nodes, mhz },
    memory: {
      totalMiB: Math.floor(totalmem() / MIB),
      availableMiB: Math.floor(freemem() / MIB),
      ...hostMemory(),
    },
    iommu: hasIommu(),
    kernel: release(),
    features: await kernelFeatures(),
  };
}

function formatReport(report: HostReport): string {
  const { engine, why, softCpu, profiles, kvm, cpu, memory, iommu, kernel, features } = report;
  const { model, threads, sockets, cores, nodes, mhz } = cpu;
  const rows: readonly [string, string][] = [
    ['engine', `${engine ?? 'none'}: ${why}`],
    ['soft CPU', softCpu ? 'built in' : 'not in this build'],
    ['profiles', `${profiles.join(', ')} (${LATEST})`],
    ['KVM', `${kvm.usable ? 'usable' : 'not usable'}: ${kvm.reason}`],
    ['CPU', `${printable(model)}, ${threads} threads, ${mhz} MHz`],
    ['topology', `NUMA nodes: ${nodes}, sockets of one: ${sockets}, cores of one: ${cores}`],
    ['memory', `${memory.totalMiB} MiB, ${memory.availableMiB} MiB available`],
    ...memoryRows(memory),
    [
      'IOMMU',
      iommu
        ? 'yes: there are groups in /sys/kernel/iommu_groups'
        : 'no: no group in /sys/kernel/iommu_groups',
    ],
    ['kernel', printable(kernel)],
    ...features.map(({ name, available, how }): [string, string] => [
      name,
      `${available ? 'yes' : 'no'}: ${printable(how)}`,
    ]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 1;
  return rows.map(([name, value]) => `${name.padEnd(width)}${value}\n`).join('');
}

function memoryRows({ hugepages, transparentHugepages, ksm, nodes }: HostMemory): [string, string][] {
  const mib = (kib: number) => `${Math.floor(kib / 1024)} MiB`;
  return [
    ['huge pages', pools(hugepages)],
    ['THP', transparentHugepages ?? 'none'],
    [
      'KSM',
      ksm === null ? 'none' : `${ksm.state}; ${ksm.pagesShared} pages stand for ${ksm.pagesSharing} more`,
    ],
    ...nodes.map(({ node, totalKiB, freeKiB, hugepages }): [string, string] => [
      `node ${node}`,
      `${mib(totalKiB)}, ${mib(freeKiB)} free; huge pages ${pools(hugepages)}`,
    ]),
  ];
}

function pools(all: readonly HugepagePool[]): string {
  const one = ({ sizeKiB, total, free, reserved = 0 }: HugepagePool) =>
    `${sizeName(sizeKiB)}: ${free - reserved} of ${total} free`;
  return all.map(one).join(', ') || 'none';
}

export function hostCommand(): Command {
  return new Command('host')
    .description(
      'show what this host has for guests: engine, CPUs, memory, features of its kernel, and how that was found out',
    )
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }) => {
      const report = await hostReport();
      process.stdout.write(options.json ? json(report) : formatReport(report));
    });
}
