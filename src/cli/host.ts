/** `xenner host`: what this machine offers for running guests. */
import { cpus, freemem, totalmem } from 'node:os';
import { Command } from 'commander';
import { XennerError } from '../base/errors.js';
import { chooseEngine, type EngineName, hasSoftCpu, type KvmProbe, probeKvm } from '../kvm/index.js';

interface HostReport {
  /** What guests would run on; null when nothing can run them. */
  engine: EngineName | null;
  why: string;
  softCpu: boolean;
  kvm: KvmProbe;
  cpu: { model: string; threads: number };
  memory: { totalMiB: number; availableMiB: number };
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
    kvm: kvm ?? probeKvm(),
    cpu: { model: processors[0]?.model ?? 'unknown', threads: processors.length },
    memory: { totalMiB: Math.floor(totalmem() / MIB), availableMiB: Math.floor(freemem() / MIB) },
  };
}

function formatReport({ engine, why, softCpu, kvm, cpu, memory }: HostReport): string {
  const rows = [
    ['engine', `${engine ?? 'none'}: ${why}`],
    ['soft CPU', softCpu ? 'built in' : 'not in this build'],
    ['KVM', `${kvm.usable ? 'usable' : 'not usable'}: ${kvm.reason}`],
    ['CPU', `${cpu.model}, ${cpu.threads} threads`],
    ['memory', `${memory.totalMiB} MiB, ${memory.availableMiB} MiB available`],
  ] as const;
  return rows.map(([name, value]) => `${name.padEnd(10)}${value}\n`).join('');
}

export function hostCommand(): Command {
  return new Command('host')
    .description('show which engine guests run on here, and why')
    .option('--json', 'print JSON')
    .action((options: { json?: true }) => {
      const report = hostReport();
      process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report));
    });
}
