/** A guest of the library, with its console driven by script. */
import { createDomain, type Device, type Domain, type DomainConfig, type DomainEnd } from 'xenner';
import { ConsoleScript } from '../../../scripts/lib/console-script.mjs';

export const PROMPT = /xenner:\S+# /;

/** Ample: a boot takes seconds, but tests share their cores. */
export const BOOT_TIMEOUT_MS = 90_000;

export class BootedGuest {
  readonly script: ConsoleScript;
  /** How it ended, once it has. */
  readonly ended: Promise<DomainEnd>;

  constructor(readonly domain: Domain) {
    this.script = new ConsoleScript((text) => domain.writeConsole(text));
    domain.on('console', (chunk) => this.script.feed(chunk));
    this.ended = domain.wait();
    this.ended.then(
      (end) => this.script.end(`the guest ended: ${end.reason}`),
      (error) => this.script.end(`the hypervisor failed: ${error}`),
    );
  }

  /** Boots to the shell's prompt; from there on the kernel's own messages stay off the console. */
  static async boot(config: DomainConfig, devices: readonly Device[] = []): Promise<BootedGuest> {
    const guest = new BootedGuest(await createDomain({ cmdline: 'console=hvc0', ...config }, devices));
    try {
      await guest.script.expect(PROMPT, BOOT_TIMEOUT_MS);
      await guest.output('dmesg -n 1');
    } catch (error) {
      await guest.domain.destroy();
      throw error;
    }
    return guest;
  }

  /** What a command prints; throws unless it succeeds. */
  async output(command: string, timeoutMs?: number): Promise<string> {
    const { output, status } = await this.script.run(command, timeoutMs);
    if (status !== 0) throw new Error(`'${command}' ended with ${status}:\n${output}`);
    return output;
  }

  async powerOff(): Promise<DomainEnd> {
    this.script.send('poweroff\n');
    return this.ended;
  }
}
