/** What a domain is known by: its name, and its UUID (xen_domain_handle_t). */
import { readFileSync } from 'node:fs';
import { XennerError } from '../../base/errors.js';
import { DOMID_FIRST_RESERVED } from '../abi/xen.js';

/** Domain 0 is the host's back ends. */
export const DEFAULT_DOMID = 1;

/** Names are parts of paths. */
const NAME = /^[A-Za-z0-9_+:@-][A-Za-z0-9_.+:@-]{0,63}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** @throws XennerError EDOMAIN_NAME */
export function checkDomainName(name: string): string {
  if (NAME.test(name)) return name;
  throw new XennerError(
    'EDOMAIN_NAME',
    `${JSON.stringify(name.slice(0, 80))} is no name for a domain`,
    'take up to 64 letters, digits and any of _.+:@-, and no dot at the beginning',
  );
}

/** @throws XennerError EDOMID */
export function checkDomid(domid: number): number {
  if (Number.isInteger(domid) && domid > 0 && domid < DOMID_FIRST_RESERVED) return domid;
  throw new XennerError('EDOMID', `${domid} is no domid: 1 to ${DOMID_FIRST_RESERVED - 1}`);
}

export function isUuid(text: string): boolean {
  return UUID.test(text.toLowerCase());
}

/** In lower case. @throws XennerError EUUID */
export function checkUuid(uuid: string): string {
  if (isUuid(uuid)) return uuid.toLowerCase();
  throw new XennerError('EUUID', `${JSON.stringify(uuid.slice(0, 80))} is no UUID`);
}

/** The kernel's: node:crypto would take longer to load than everything else that is read here. */
export function newUuid(): string {
  return checkUuid(readFileSync('/proc/sys/kernel/random/uuid', 'latin1').trim());
}

/** The 16 bytes that stand for it in Xen's ABI. */
export function handleOf(uuid: string): Uint8Array {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}
