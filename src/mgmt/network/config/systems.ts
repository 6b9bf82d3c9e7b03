/** The systems there are, and which of them this host uses. */
import { InterfaceError, quoted } from '../errors.js';
import type { ConfigSystem, ConfigSystemName } from './config-system.js';
import { isInUse } from './host-files.js';
import { ifupdown } from './ifupdown.js';
import { networkd } from './networkd.js';

/** In the order in which they are looked for: Debian leaves /etc/network/interfaces where another one has taken over. */
const SYSTEMS: readonly ConfigSystem[] = [networkd, ifupdown];
export const CONFIG_SYSTEM_NAMES = SYSTEMS.map(({ name }) => name);

/** @throws InterfaceError VIR_ERR_CONFIG_UNSUPPORTED where there is none of the name */
export function systemByName(name: string): ConfigSystem {
  const system = SYSTEMS.find((each) => each.name === (name as ConfigSystemName));
  if (system !== undefined) return system;
  throw new InterfaceError(
    'VIR_ERR_CONFIG_UNSUPPORTED',
    `${quoted(name)} is no system that keeps interfaces`,
    `there are ${CONFIG_SYSTEM_NAMES.join(', ')}`,
  );
}

/** Undefined: none of them. */
export function systemInUse(root: string): ConfigSystem | undefined {
  return SYSTEMS.find((system) => isInUse(system, root));
}
