/** Bringing a saved domain back. */

import { XennerError } from '../../base/errors.js';
import type { Topic } from '../../base/log.js';
import type { EngineWish, GuestMemoryOptions } from '../../kvm/index.js';
import type { Device } from '../backend/device.js';
import { backingOf, framesOf } from '../domain/config.js';
import { Domain, type DomainWatch } from '../domain/domain.js';
import { Xenstore } from '../xenstore/index.js';
import { checkFiles, restoreConfig } from './config.js';
import { SaveFile } from './read.js';
import { PAGE } from './save-file.js';

/** With memory of a special kind, all of it is read before the guest goes on. */
export interface RestoreOptions extends GuestMemoryOptions {
  /** Default `auto`. */
  engine?: EngineWish;
  /** Reads all of the file first, and compares it with what was saved. Default false. */
  verify?: boolean;
  /** As in DomainConfig; default: as it was. */
  onReboot?: 'restart' | 'end';
  /** As in DomainConfig. */
  gdb?: { port: number; wait?: boolean };
  /** Topics to trace to standard error, as JSON lines. */
  trace?: readonly Topic[];
}

/**
 * Goes on with a domain that Domain.save() wrote to a file. The promise resolves when the guest is about to execute its next
 * instruction. Memory is read from the file when the guest first touches it: the file has to stay as it is while the domain runs;
 * removing it or renaming another one over it does no harm.
 * @throws XennerError (rejection): ESAVE_FILE, ESAVE_DAMAGED, ESAVE_VERSION; ESAVE_CPU when the guest uses features that the
 * engine's CPU has not; what createDomain() throws
 */
export async function restoreDomain(
  path: string,
  options: RestoreOptions = {},
  devices: readonly Device[] = [],
  watch: DomainWatch = {},
): Promise<Domain> {
  const file = SaveFile.open(path);
  try {
    const { config, files } = restoreConfig(file.state.get('config'));
    if (file.memoryBytes !== framesOf(config).totalPages * PAGE) {
      throw new XennerError(
        'ESAVE_DAMAGED',
        `${path} is damaged: its memory is not of the size that it says`,
      );
    }
    if (options.verify === true) file.verifyMemory();
    const backends = file.state.get('backends');
    const xenstore = Xenstore.restore(backends.get('xenstore'));
    checkDevices(xenstore, config.domid, devices);
    const { engine = 'auto', gdb, trace = [], onReboot = config.onReboot } = options;
    const domain = new Domain(
      { ...config, backing: backingOf(options), engine, gdb, trace, onReboot },
      { devices, xenstore, watch, checkReboot: () => checkFiles(files) },
    );
    await domain.listen();
    await domain.start({ machine: file.machine, backends });
    return domain;
  } finally {
    file.close();
  }
}

/** @throws XennerError ESAVE_DEVICES: the guest would wait for ever for one that is not there */
function checkDevices(xenstore: Xenstore, domid: number, devices: readonly Device[]): void {
  const store = xenstore.client();
  const given = new Set(devices.map(({ type, devid }) => `${type}/${devid}`));
  const missing = ['vbd', 'vif'].flatMap((type) => {
    const ids = store.directory(`/local/domain/${domid}/device/${type}`) ?? [];
    return ids.map((id) => `${type}/${id}`).filter((name) => !given.has(name));
  });
  store.close();
  if (missing.length === 0) return;
  throw new XennerError(
    'ESAVE_DEVICES',
    `the guest has devices that it would not find again: ${missing.join(', ')}`,
    'give it what it was saved with',
  );
}
