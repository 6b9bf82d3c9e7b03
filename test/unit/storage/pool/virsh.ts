/** Debian's libvirtd and virsh: the judge. */
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const START_MS = 60_000;

const SCRIPT = fileURLToPath(new URL('../../../../scripts/lib/libvirtd.sh', import.meta.url));

export function missingVirsh(): string | undefined {
  if (process.getuid!() !== 0) return 'libvirtd as root takes root';
  try {
    execFileSync('sh', ['-c', 'command -v libvirtd && command -v virsh'], { stdio: 'pipe' });
  } catch {
    return 'no libvirtd and virsh';
  }
  const { status } = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt']);
  return status === 0 ? undefined : 'no mount namespaces here';
}

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function outcomeOf(
  program: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, timeout: 60_000, maxBuffer: 2 ** 26 };
    const child = execFile(program, args, options, (_, stdout, stderr) =>
      resolve({ status: child.exitCode, stdout, stderr }),
    );
  });
}

export class Virsh {
  private constructor(
    private readonly folder: string,
    private readonly driver: string,
    private readonly daemon: ChildProcess,
  ) {}

  /** @param system what libvirt is to take for the host's /sys/devices/system */
  static async start(driver = 'storage', system = ''): Promise<Virsh> {
    const folder = mkdtempSync(join(tmpdir(), 'xenner-virsh-'));
    const daemon = spawn('bash', [SCRIPT, folder, driver], {
      stdio: 'ignore',
      env: { ...process.env, LIBVIRTD_SYSTEM: system },
    });
    const virsh = new Virsh(folder, driver, daemon);
    for (const until = Date.now() + START_MS; !existsSync(join(folder, 'libvirt-sock')); await delay(50)) {
      if (daemon.exitCode !== null || Date.now() > until) throw new Error('libvirtd does not start');
    }
    return virsh;
  }

  run(...args: string[]): Promise<Outcome> {
    const uri = `${this.driver}:///system?socket=${this.folder}/libvirt-sock`;
    return outcomeOf('virsh', ['-c', uri, ...args], { LC_ALL: 'C.UTF-8' });
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.daemon.once('exit', resolve));
    if (this.daemon.exitCode === null && this.daemon.kill()) await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
