/** What a domain is to be that goes on from a save file. */
import { XennerError } from '../../../base/errors.js';
import { inspectSave, savedUserData } from '../../../xenner/save/inspect.js';
import { type ReadConfig, readConfig, readConfigFile } from '../config/read.js';

/**
 * @param config a configuration to take instead of the file's own, which may name any file of this host's
 * @throws XennerError ESAVE_CONFIG: there is none; what reading either throws
 */
export function readSavedDefinition(path: string, config: string | undefined): ReadConfig {
  const { uuid, memoryMiB, vcpus } = inspectSave(path);
  const { format, definition } = config === undefined ? ownConfig(path) : readConfigFile(config);
  return {
    format,
    definition: {
      ...definition,
      // These the guest knows.
      uuid,
      memoryMiB: Math.min(definition.memoryMiB, memoryMiB),
      maxMemoryMiB: memoryMiB,
      vcpus: Math.min(definition.vcpus, vcpus),
      maxVcpus: vcpus,
    },
  };
}

function ownConfig(path: string): ReadConfig {
  const saved = savedUserData(path);
  if (saved !== null) return readConfig(Buffer.from(JSON.stringify(saved)));
  throw new XennerError(
    'ESAVE_CONFIG',
    `${path} does not say what the domain is to be: 'xenner run' saved it`,
    "restore it with --foreground, or name a configuration: 'xenner restore CONFIG FILE'",
  );
}
