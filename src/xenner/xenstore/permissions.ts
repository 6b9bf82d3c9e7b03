/** Who may do what with a node: the owner and what everybody may, then what single domains may. */
import { DOMID_FIRST_RESERVED } from '../abi/xen.js';
import { XenstoreError } from './errors.js';

export const MODE_READ = 1;
export const MODE_WRITE = 2;
export const MODE_OWNER = 4;
const MODE_ALL = MODE_READ | MODE_WRITE | MODE_OWNER;

export interface Permission {
  readonly domid: number;
  /** MODE_READ | MODE_WRITE. */
  readonly mode: number;
}

/** The first names the owner; its mode is that of domains that are not listed. Never empty. */
export type Permissions = readonly [Permission, ...Permission[]];

const LETTERS = ['n', 'r', 'w', 'b'];

/** `r5`: domain 5 may read. @throws XenstoreError EINVAL */
function parsePermission(text: string): Permission {
  const [, letter = '', digits] = /^([nrwb])(\d{1,5})$/.exec(text) ?? [];
  const domid = Number(digits ?? Number.NaN);
  if (!(domid < DOMID_FIRST_RESERVED)) {
    throw new XenstoreError('EINVAL', `${JSON.stringify(text.slice(0, 20))} is no permission`);
  }
  return { domid, mode: LETTERS.indexOf(letter) };
}

/** @throws XenstoreError EINVAL */
export function parsePermissions(texts: readonly string[]): Permissions {
  const [owner, ...others] = texts.map(parsePermission);
  if (owner === undefined) throw new XenstoreError('EINVAL', 'a node has an owner');
  return [owner, ...others];
}

export function formatPermissions(permissions: Permissions): string[] {
  return permissions.map(({ domid, mode }) => `${LETTERS[mode]}${domid}`);
}

/** Whoever asks. */
export interface Subject {
  readonly domid: number;
  /** Domain 0: may do everything. */
  readonly privileged: boolean;
  /** Another domain that it acts for (SET_TARGET). */
  readonly target: number | undefined;
}

/** MODE_* bits; as perm_for_conn() of xenstored. */
export function modeFor(subject: Subject, permissions: Permissions): number {
  const is = ({ domid }: Permission) => domid === subject.domid || domid === subject.target;
  const [owner, ...others] = permissions;
  if (subject.privileged || is(owner)) return MODE_ALL;
  return (others.find(is) ?? owner).mode;
}
