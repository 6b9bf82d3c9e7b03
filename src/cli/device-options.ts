/** `--disk`, of every command that runs a guest: devices as xl's configurations describe them. */
import { type Command, InvalidArgumentError } from 'commander';
import type { DiskDefinition } from '../mgmt/domain/definition.js';
import type { Device } from '../xenner/backend/device.js';

export interface DeviceChoice {
  /** As in xl-disk-configuration(5). */
  readonly disk: readonly string[];
}

const append = (text: string, before: readonly string[]) => [...before, text];

export function addDeviceOptions(command: Command): Command {
  return command.option(
    '--disk <spec>',
    "a disk, as in xl's configurations: FILE,FORMAT,VDEV,ACCESS or key=value,... (again for more)",
    append,
    [],
  );
}

/** @throws InvalidArgumentError */
export async function diskDefinitions({ disk }: DeviceChoice): Promise<DiskDefinition[]> {
  if (disk.length === 0) return [];
  const { parseDisk } = await import('../mgmt/domain/config/xl/disk.js');
  return disk.map((spec) => {
    let wrong = '';
    const definition = parseDisk(spec, process.cwd(), (kind, text) => {
      if (kind === 'error') wrong = text;
      else process.stderr.write(`xenner: --disk: ${text}\n`);
    });
    if (definition === undefined) throw new InvalidArgumentError(wrong);
    return definition;
  });
}

/** Opens disks for as long as `act` takes. */
export async function withDisks<T>(
  definitions: readonly DiskDefinition[],
  act: (devices: readonly Device[]) => Promise<T>,
): Promise<T> {
  if (definitions.length === 0) return act([]);
  const { closeDisks, openDisks } = await import('../mgmt/domain/disks.js');
  const disks = await openDisks(definitions);
  try {
    return await act(disks.map(({ device }) => device));
  } finally {
    await closeDisks(disks);
  }
}
