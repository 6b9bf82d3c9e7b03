/** The profiles that there are. One that was released stays, and stays as it was. */
import { XennerError } from '../../base/errors.js';
import type { AbiProfile } from './abi-profile.js';
import { xen_4_17_v1 } from './xen-4.17-v1.js';

function frozen<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object') frozen(part as object);
  return Object.freeze(value);
}

/** Oldest first. */
export const PROFILES: readonly AbiProfile[] = frozen([xen_4_17_v1]);

/** Another name for the last one: what a new domain gets. */
export const LATEST = 'latest';

/** @throws XennerError EPROFILE */
export function findProfile(name: string): AbiProfile {
  const profile = name === LATEST ? PROFILES.at(-1) : PROFILES.find((each) => each.name === name);
  if (profile !== undefined) return profile;
  throw new XennerError(
    'EPROFILE',
    `there is no ABI profile '${name}'`,
    `there are ${PROFILES.map((each) => each.name).join(', ')} and ${LATEST}`,
  );
}

/** XENVER_version: major and minor in one word. */
export function xenVersionWord({ xen }: AbiProfile): number {
  return (xen.major << 16) | xen.minor;
}
