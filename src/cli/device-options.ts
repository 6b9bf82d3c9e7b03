/** `--disk` and `--nic`, of every command that runs a guest: devices as xl's configurations describe them. */
import { type Command, InvalidArgumentError } from 'commander';
import type { Say } from '../mgmt/domain/config/xl/say.js';
import type { DiskDefinition, NicDefinition } from '../mgmt/domain/definition.js';
import type { Device } from '../xenner/backend/device.js';
import { DEFAULT_DOMID } from '../xenner/domain/identity.js';

export interface DeviceChoice {
  /** As in xl-disk-configuration(5). */
  readonly disk: readonly string[];
  /** As in xl-network-configuration(5). */
  readonly nic: readonly string[];
}

interface Definitions {
  readonly disks: readonly DiskDefinition[];
  readonly nics: readonly NicDefinition[];
}

const append = (text: string, before: readonly string[]) => [...before, text];

export function addDeviceOptions(command: Command): Command {
  return command
    .option(
      '--disk <spec>',
      "a disk, as in xl's configurations: FILE,FORMAT,VDEV,ACCESS or key=value,... (again for more)",
      append,
      [],
    )
    .option(
      '--nic <spec>',
      "a network device, as xl's vif: bridge=br0,mac=...; without a bridge passt is its network (again for more)",
      append,
      [],
    );
}

/** What the options say. @throws InvalidArgumentError */
export async function deviceDefinitions({ disk, nic }: DeviceChoice): Promise<Definitions> {
  const disks: DiskDefinition[] = [];
  const nics: NicDefinition[] = [];
  if (disk.length > 0) {
    const { parseDisk } = await import('../mgmt/domain/config/xl/disk.js');
    for (const spec of disk) disks.push(parsed('--disk', (say) => parseDisk(spec, process.cwd(), say)));
  }
  if (nic.length > 0) {
    const { parseVif } = await import('../mgmt/domain/config/xl/vif.js');
    for (const spec of nic) nics.push(parsed('--nic', (say) => parseVif(spec, say)));
  }
  return { disks, nics };
}

/** Warnings go to standard error. @throws InvalidArgumentError */
export function parsed<T>(option: string, parse: (say: Say) => T | undefined): T {
  let wrong: string | undefined;
  const result = parse((kind, text) => {
    if (kind === 'error') wrong = text;
    else process.stderr.write(`xenner: ${option}: ${text}\n`);
  });
  if (result !== undefined && wrong === undefined) return result;
  throw new InvalidArgumentError(`${option}: ${wrong}`);
}

/** Opens devices for as long as `act` takes. */
export async function withDevices<T>(
  { disks, nics }: Definitions,
  act: (devices: readonly Device[]) => Promise<T>,
): Promise<T> {
  const closers: Array<() => unknown> = [];
  const devices: Device[] = [];
  try {
    if (disks.length > 0) {
      const { closeDisks, openDisks } = await import('../mgmt/domain/disks.js');
      const open = await openDisks(disks);
      closers.push(() => closeDisks(open));
      devices.push(...open.map(({ device }) => device));
    }
    for (const [index, nic] of nics.entries()) {
      const [{ openNic, withoutBridge }, { randomMac }] = await Promise.all([
        import('../mgmt/domain/nics.js'),
        import('../mgmt/domain/random-mac.js'),
      ]);
      const text = withoutBridge(nic);
      if (text !== undefined) process.stderr.write(`xenner: --nic: ${text}\n`);
      const { device, port } = await openNic({ ...nic, mac: nic.mac ?? randomMac() }, index, DEFAULT_DOMID);
      closers.push(() => port.close());
      devices.push(device);
    }
    return await act(devices);
  } finally {
    for (const close of closers) await close();
  }
}
