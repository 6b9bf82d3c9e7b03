/** `xenner host`: what this machine offers for running guests. */
import { cpus, freemem, totalmem } from 'node:os';
import { Command } from 'commander';
import { XennerError } from '../base/errors.js';
import {
  chooseEngine,
  type EngineName,
  type HostMemory,
  type HugepagePool,
  hasSoftCpu,
  hostMemory,
  type KvmProbe,
  probeKvm,
} from '../kvm/index.js';
import { LATEST, PROFILES } from '../xenner/profile/profiles.js';

interface HostReport {
  /** What guests would run on; null when nothing can run them. */
  engine: EngineName | null;
  why: string;
  softCpu: boolean;
  /** ABI profiles, oldest first: the last one is `latest`. */
  profiles: string[];
  kvm: KvmProbe;
  cpu: { model: string; threads: number };
  memory: HostMemory & { totalMiB: number; availableMiB: number };
}

const MIB = 2 ** 20;

/** Throws only when the addon does not load. */
function hostReport(): HostReport {
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
  const processors = cpus();
  return {
    engine,
    why,
    softCpu: hasSoftCpu(),
    profiles: PROFILES.map(({ name }) => name),
    kvm: kvm ?? probeKvm(),
    cpu: { model: processors[0]?.model ?? 'unknown', threads: processors.length },
    memory: {
      totalMiB: Math.floor(totalmem() / MIB),
      availableMiB: Math.floor(freemem() / MIB),
      ...hostMemory(),
    },
  };
}

function formatReport({ engine, why, softCpu, profiles, kvm, cpu, memory }: HostReport): string {
  const rows = [
    ['engine', `${engine ?? 'none'}: ${why}`],
    ['soft CPU', softCpu ? 'built in' : 'not in this build'],
    ['profiles', `${profiles.join(', ')} (${LATEST})`],
    ['KVM', `${kvm.usable ? 'usable' : 'not usable'}: ${kvm.reason}`],
    ['CPU', `${cpu.model}, ${cpu.threads} threads`],
    ['memory', `${memory.totalMiB} MiB, ${memory.availableMiB} MiB available`],
    ...memoryRows(memory),
  ] as const;
  return rows.map(([name, value]) => `${name.padEnd(11)}${value}\n`).join('');
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
  const one = ({ sizeKiB, total, free, reserved = 0 }: HugepagePool) => {
    const size = sizeKiB >= 2 ** 20 ? `${sizeKiB / 2 ** 20}G` : `${sizeKiB / 1024}M`;
    return `${size}: ${free - reserved} of ${total} free`;
  };
  return all.map(one).join(', ') || 'none';
}

export function hostCommand(): Command {
  return new Command('host')
    .description('show which engine guests run on here, and why, and what memory there is for them')
    .option('--json', 'print JSON')
    .action((options: { json?: true }) => {
      const report = hostReport();
      process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report));
    });
}
