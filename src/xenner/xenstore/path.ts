/** Paths of the store (docs/misc/xenstore.txt): `/a/b`, relative to a domain's home, or special, as `@releaseDomain`. */
import { XENSTORE_ABS_PATH_MAX } from '../abi/xs-wire.js';
import { XenstoreError } from './errors.js';

/** Absolute and well-formed; starts with / or @. */
export type StorePath = string & { readonly __brand: 'StorePath' };

const CHARACTERS = /^[A-Za-z0-9\-/_@]+$/;
/** What a domain's limit of path length does not count. */
const HOME = /^\/local\/domain\/\d{1,5}\//;

export function homeOf(domid: number): StorePath {
  return `/local/domain/${domid}` as StorePath;
}

export function isSpecial(path: string): boolean {
  return path.startsWith('@');
}

export function isRelative(path: string): boolean {
  return !path.startsWith('/') && !isSpecial(path);
}

/** Whose path it is. */
export interface PathBase {
  /** What relative paths begin at. */
  readonly home: StorePath;
  /** For what follows /local/domain/N/. */
  readonly maxLength: number;
}

/** @throws XenstoreError EINVAL */
export function parsePath(text: string, base: PathBase, allowSpecial = false): StorePath {
  const path = isRelative(text) ? `${base.home}/${text}` : text;
  const wrong =
    !CHARACTERS.test(text) ||
    (isSpecial(text) && !allowSpecial) ||
    (path.endsWith('/') && path !== '/') ||
    path.includes('//') ||
    path.length > XENSTORE_ABS_PATH_MAX ||
    path.replace(HOME, '').length > base.maxLength;
  if (wrong) throw new XenstoreError('EINVAL', `${JSON.stringify(text.slice(0, 80))} is no path`);
  return path as StorePath;
}

/** The parent of / is /, and so is that of a special path. */
export function parentOf(path: StorePath): StorePath {
  const slash = path.lastIndexOf('/');
  return (slash <= 0 ? '/' : path.slice(0, slash)) as StorePath;
}

/** The names from the top down: `/` is the first of an ordinary path. */
export function namesOf(path: StorePath): string[] {
  if (path === '/' || isSpecial(path)) return [path];
  return ['/', ...path.slice(1).split('/')];
}

/** Whether `path` is `top` or lies below it. Special paths lie below nothing. */
export function isBelow(path: StorePath, top: StorePath): boolean {
  if (path === top) return true;
  if (isSpecial(path)) return false;
  return path.startsWith(top === '/' ? '/' : `${top}/`);
}
