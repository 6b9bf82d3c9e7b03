/** test/gdb/kernel, waiting for a debugger. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { createDomain, type Domain, type DomainEnd } from 'xenner';
import { ConsoleScript } from '../../scripts/lib/console-script.mjs';
import { buildKernel } from '../fuzz/kernels.js';
import { Gdb } from './gdb.js';

/** What runs the guest: the lab's KVM, when this runs in the lab. */
export const ENGINE = process.env.XENNER_GDB_TEST_ENGINE === 'kvm' ? 'kvm' : 'soft';

let built: string | undefined;
export function debuggedKernel(): string {
  built ??= buildKernel('gdb/kernel');
  return built;
}

export function missingGdb(): string | undefined {
  try {
    execFileSync('gdb', ['-nx', '--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'gdb is not installed';
  }
}

/**
 * The lab's processor takes up breakpoints when they are written to DR7, and not with what VMRUN loads: a vCPU has to stay on
 * the CPU where it was when it wrote them. One alone runs on the domain's thread, which has no name.
 */
function pinVcpus(vcpus: number): void {
  const pin = (...args: string[]) => execFileSync('taskset', ['-pc', ...args], { stdio: 'ignore' });
  pin('-a', vcpus === 1 ? '0' : `0-${cpus().length - 1}`, `${process.pid}`);
  const tasks = '/proc/self/task';
  for (const tid of readdirSync(tasks)) {
    const vcpu = /^vcpu (\d+)$/m.exec(readFileSync(`${tasks}/${tid}/comm`, 'latin1'))?.[1];
    if (vcpu !== undefined) pin(vcpu, tid);
  }
}

export interface Options {
  readonly cmdline?: string;
  readonly vcpus?: number;
  readonly fastPaths?: boolean;
  readonly wait?: boolean;
}

export class DebuggedGuest {
  readonly console = new ConsoleScript(() => {});
  readonly ended: Promise<DomainEnd>;
  readonly #gdbs: Gdb[] = [];

  private constructor(readonly domain: Domain) {
    domain.on('console', (chunk) => this.console.feed(chunk));
    this.ended = domain.wait();
    this.ended.then(({ reason }) => this.console.end(`the guest ended: ${reason}`));
  }

  static async start({ wait = true, ...options }: Options = {}): Promise<DebuggedGuest> {
    const config = { kernel: debuggedKernel(), memoryMiB: 64, engine: ENGINE, onReboot: 'end' } as const;
    const domain = await createDomain({ ...config, ...options, gdb: { port: 0, wait } });
    if (ENGINE === 'kvm') pinVcpus(options.vcpus ?? 1);
    return new DebuggedGuest(domain);
  }

  get port(): number {
    return this.domain.gdbPort!;
  }

  async attach(): Promise<Gdb> {
    const gdb = await Gdb.attach(debuggedKernel(), this.port);
    this.#gdbs.push(gdb);
    return gdb;
  }

  async close(): Promise<void> {
    for (const gdb of this.#gdbs) await gdb.kill();
    await this.domain.destroy();
  }
}

/** Runs `use` on such a guest, and ends it whatever happens. */
export async function withGuest(
  options: Options,
  use: (guest: DebuggedGuest) => Promise<void>,
): Promise<void> {
  const guest = await DebuggedGuest.start(options);
  try {
    await use(guest);
  } finally {
    await guest.close();
  }
}
