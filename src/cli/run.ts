/** `xenner run`: boots a guest with its console on the terminal. */
import { Command } from 'commander';
import { DEFAULT_MEMORY_MIB, type DomainConfig } from '../xenner/domain/config.js';
import { createDomain } from '../xenner/domain/domain.js';
import { LATEST } from '../xenner/profile/profiles.js';
import { addDeviceOptions, type DeviceChoice, deviceDefinitions, withDevices } from './device-options.js';
import { addHostOptions, type HostChoice, hostOptions, wholeNumber } from './options.js';
import { addSessionOptions, runSession, type SessionOptions } from './session.js';

interface RunOptions extends HostChoice, SessionOptions, DeviceChoice {
  name: string;
  kernel: string;
  ramdisk?: string;
  cmdline: string;
  memory: number;
  vcpus: number;
  profile: string;
  reboot: boolean;
  fastPaths: boolean;
}

export function runCommand(): Command {
  const command = new Command('run')
    .description('boot a PV kernel with its console on this terminal (Ctrl-] leaves and ends the guest)')
    .requiredOption('--kernel <file>', 'kernel: ELF or bzImage')
    .option('--name <name>', 'of the domain', 'xenner')
    .option('--ramdisk <file>', 'initial ramdisk')
    .option('--cmdline <text>', 'kernel command line', '')
    .option('--memory <MiB>', 'guest memory', wholeNumber, DEFAULT_MEMORY_MIB)
    .option('--vcpus <n>', 'virtual CPUs', wholeNumber, 1)
    .option('--profile <name>', "what the guest sees of the machine; 'xenner host' lists them", LATEST)
    .option('--no-reboot', 'end when the guest reboots, instead of starting it anew')
    .option('--no-fast-paths', 'send every hypercall to TypeScript')
    .action(async (options: RunOptions) => {
      process.exitCode = await withDevices(await deviceDefinitions(options), (devices) =>
        runSession(() => createDomain(domainConfig(options), devices), options),
      );
    });
  return addHostOptions(addSessionOptions(addDeviceOptions(command)));
}

function domainConfig(options: RunOptions): DomainConfig {
  return {
    name: options.name,
    kernel: options.kernel,
    cmdline: options.cmdline,
    memoryMiB: options.memory,
    vcpus: options.vcpus,
    profile: options.profile,
    fastPaths: options.fastPaths,
    onReboot: options.reboot ? 'restart' : 'end',
    ...(options.ramdisk !== undefined && { ramdisk: options.ramdisk }),
    ...hostOptions(options),
  };
}
